"""How wide the step back to a cleaner level is: q(x' | x, x0), and a learned variance (iDDPM, 2102.09672).

A prime marks the cleaner level. All of it is covariant: x -> k x and x' -> k' x' (each level's alpha and sigma with
it) turns a mean into k' mean and a variance into k'^2 variance, so that it holds for VE and rectified paths as it
does for DDPM's. Finite at alpha = 0 and at sigma' = 0. Arguments broadcast; pass the levels in float64, since the
difference of two neighbours cancels.
"""

from torch import Tensor


def added(alpha: Tensor, sigma: Tensor, alpha_: Tensor, sigma_: Tensor) -> Tensor:
    """The variance of x given x': sigma^2 - (alpha/alpha')^2 sigma'^2, DDPM's beta_t where alpha^2 + sigma^2 = 1."""
    return (sigma**2 - (alpha * sigma_ / alpha_) ** 2).clamp(min=0)


def posterior(alpha: Tensor, sigma: Tensor, alpha_: Tensor, sigma_: Tensor) -> Tensor:
    """The variance of x' given x and x0, the lower bound: DDPM (2006.11239) eq. 7, beta tilde."""
    return (sigma_ / sigma) ** 2 * added(alpha, sigma, alpha_, sigma_)


def upper(alpha: Tensor, sigma: Tensor, alpha_: Tensor, sigma_: Tensor) -> Tensor:
    """The variance of x' given x alone for white data of variance 1, the upper bound: DDPM's other choice, beta_t."""
    return (alpha_**2 + sigma_**2) / (alpha**2 + sigma**2) * added(alpha, sigma, alpha_, sigma_)


def learned(fraction: Tensor, alpha: Tensor, sigma: Tensor, alpha_: Tensor, sigma_: Tensor) -> Tensor:
    """Between the bounds, even in the logarithm: iDDPM eq. 15. 0 where sigma' = 0, for a fraction below 1.

    The fraction is held in 0..1: a head that has not learned yet would let the state run away.
    """
    fraction = fraction.clamp(0, 1)
    levels = alpha, sigma, alpha_, sigma_
    return upper(*levels) ** fraction * posterior(*levels) ** (1 - fraction)


def posterior_mean(x: Tensor, x0: Tensor, alpha: Tensor, sigma: Tensor, alpha_: Tensor, sigma_: Tensor) -> Tensor:
    """The mean of x' given x and x0: DDPM eq. 7, mu tilde."""
    keep = alpha / alpha_ * (sigma_ / sigma) ** 2
    return keep * x + (alpha_ - alpha * keep) * x0
