"""The hybrid objective of iDDPM (2102.09672), which trains the variance of the reverse step beside the mean.

The variance is trained on the terms of the variational lower bound, the mean by the simple objective alone. Times are
continuous: the step at t goes down by 1 / levels, and the last one is the likelihood of the pixels.
"""

import math
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from difflab import variance
from difflab.couplings import Coupling
from difflab.denoiser import Guesser
from difflab.errors import DifflabError
from difflab.objective import Loss, Objective, fit, to_x0_space
from difflab.predictions import Prediction
from difflab.schedules import Schedule
from difflab.times import Times
from difflab.weightings import Weighting

HALF_LEVEL = 1 / 255  # of pixels in [-1, 1]


class Reverse(NamedTuple):
    """The step from t to t - 1/levels, one number each: mean = ... + pull x0, and the bounds of its variance."""

    pull: Float64[Tensor, " b"]
    lower: Float64[Tensor, " b"]
    upper: Float64[Tensor, " b"]
    ends: Tensor  # whether it is the last one, to the clean picture


class Hybrid(Objective):
    """L_simple + vlb_weight L_vlb: eq. 16, with L_vlb = levels x the mean of its terms, in bits per dimension."""

    needs_variance: ClassVar[bool] = True

    def __init__(
        self,
        schedule: Schedule,
        weighting: Weighting,
        times: Times,
        coupling: Coupling | None = None,
        levels: int = 1000,
        vlb_weight: float = 0.001,
    ) -> None:
        super().__init__(schedule, weighting, times, coupling)
        self.levels, self.vlb_weight = levels, vlb_weight

    def at(
        self,
        denoiser: Guesser,
        x0: Float[Tensor, "b *shape"],
        eps: Float[Tensor, "b *shape"],
        t: Float64[Tensor, " b"],
    ) -> Loss:
        alpha, sigma = (fit(a, x0) for a in self.schedule.alpha_sigma(t))
        x = alpha * x0 + sigma * eps
        y_hat, fraction = denoiser.outputs(x, alpha, sigma)
        if fraction is None:
            raise DifflabError("objective=hybrid trains a variance, but the network has none: net.learn_variance=true")
        loss = self.loss(y_hat, denoiser.prediction, x0, eps, t)
        x0_hat = denoiser.prediction.x0(x, y_hat.detach(), alpha, sigma)
        added = self.vlb_weight * self.levels * self.vlb(x0, x0_hat, fraction, t)
        importance = self.times.importance(t, self.schedule).to(x0.dtype)
        return loss._replace(per_sample=loss.per_sample + importance * added, unscaled=loss.unscaled + added.detach())

    def bound(self, prediction: Prediction, t: Float64[Tensor, " b"]) -> Float64[Tensor, " b"]:
        step = reverse_step(self.schedule, t, self.levels)
        unweight = to_x0_space(prediction, *self.schedule.alpha_sigma(t))
        vlb = self.vlb_weight * self.levels * step.pull**2 / (2 * step.lower)
        return super().bound(prediction, t) + vlb * unweight

    def vlb(
        self,
        x0: Float[Tensor, "b *shape"],
        x0_hat: Float[Tensor, "b *shape"],
        fraction: Float[Tensor, "b *shape"],
        t: Float64[Tensor, " b"],
    ) -> Float[Tensor, " b"]:
        """The term of the bound at each t, in bits per dimension: eq. 4 to 6, KL above the last and NLL in it."""
        step = reverse_step(self.schedule, t, self.levels)
        log_lower, log_upper = fit(step.lower.log(), x0), fit(step.upper.log(), x0)
        log_variance = fraction * log_upper + (1 - fraction) * log_lower
        missed = fit(step.pull, x0) * (x0 - x0_hat)
        kl = gaussian_kl(missed, log_lower, log_variance)
        nll = pixel_nll(x0, x0_hat, (log_variance / 2).exp())
        nats = torch.where(step.ends, nll.flatten(1).mean(1), kl.flatten(1).mean(1))
        return nats / math.log(2)


def reverse_step(schedule: Schedule, t: Float64[Tensor, " b"], levels: int) -> Reverse:
    """The last step's variance has no lower bound: it borrows that of the step before, as iDDPM's code does."""
    ends = t < 1.5 / levels  # nearest to the first level
    inner = torch.where(ends, t, t - 1 / levels)
    outer = inner + 1 / levels
    alpha, sigma = schedule.alpha_sigma(outer)
    alpha_, sigma_ = schedule.alpha_sigma(inner)
    lower = variance.posterior(alpha, sigma, alpha_, sigma_)
    pull = variance.posterior_mean(torch.zeros_like(t), torch.ones_like(t), alpha, sigma, alpha_, sigma_)
    upper = variance.upper(alpha, sigma, alpha_, sigma_)
    clean = torch.ones_like(t), torch.zeros_like(t)
    return Reverse(
        torch.where(ends, 1.0, pull),
        torch.where(ends, lower / alpha_**2, lower),
        torch.where(ends, variance.upper(alpha_, sigma_, *clean), upper),
        ends,
    )


def gaussian_kl(distance: Tensor, log_var_p: Tensor, log_var_q: Tensor) -> Tensor:
    """KL(p || q) of two normal distributions whose means are `distance` apart, in nats; arguments broadcast."""
    return (log_var_q - log_var_p + (log_var_p - log_var_q).exp() + distance**2 * (-log_var_q).exp() - 1) / 2


def pixel_nll(x0: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """-log of the mass that N(mean, std^2) gives to the level of each pixel: DDPM (2006.11239) eq. 13, in nats.

    The first and the last level take the tails.
    """
    above, below = (x0 - mean + HALF_LEVEL) / std, (x0 - mean - HALF_LEVEL) / std
    up_to = torch.where(x0 > 1 - HALF_LEVEL, 1.0, torch.special.ndtr(above))
    under = torch.where(x0 < -1 + HALF_LEVEL, 0.0, torch.special.ndtr(below))
    return -(up_to - under).clamp(min=1e-12).log()
