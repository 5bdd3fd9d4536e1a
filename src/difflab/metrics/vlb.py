"""The variational bound on -log2 p(x0), term by term: DDPM (2006.11239) eq. 5, iDDPM (2102.09672) eq. 3 to 7.

prior + the KL of every step + the likelihood of the pixels in the last one, each in bits per dimension. With the
posterior variance a KL is half the fall of the signal-to-noise ratio times |x0 - x0_hat|^2: VDM (2107.00630) eq. 13.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from difflab.denoiser import Denoise
from difflab.errors import DifflabError
from difflab.hybrid import gaussian_kl
from difflab.metrics.ladder import Ladder

HALF_LEVEL = 1 / 255  # of pixels in [-1, 1]: two of them are 2/255, and there are 255 such steps from -1 to 1
VARIANCES = ("posterior", "upper", "learned")

Bits = Float64[Tensor, " b"]
Guess = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor | None]]
"""(x, alpha, sigma) -> the guess of x0, and where the variance lies between its bounds (None: it is not learned)."""


@dataclass(frozen=True)
class Bound:
    """The terms of a denoiser on a ladder.

    L_0 is the mass that N(x0_hat, s^2) gives to each pixel's level, with s = sigma/alpha of the first level, the width
    that the noise leaves; a learned variance says s itself, between the bounds that it was trained between.

    variance: of the steps: posterior (the lower bound), upper, or learned (iDDPM eq. 15, held between the two).
    sigma_data: of the prior N(0, sigma^2 + alpha^2 sigma_data^2), sigma and alpha of the last level.
    clip: each guess is kept within -1..1, where pixels are, as DDPM's own evaluation does.
    Raises DifflabError for an unknown variance, and a learned one of a denoiser that has none.
    """

    denoise: Denoise
    ladder: Ladder
    variance: str
    sigma_data: int | float
    clip: bool = True

    def __post_init__(self) -> None:
        if self.variance not in VARIANCES:
            raise DifflabError(f"vlb.variance={self.variance}: it is auto or one of {', '.join(VARIANCES)}")
        if self.variance == "learned" and not _learns(self.denoise):
            raise DifflabError(
                "vlb.variance=learned: the network has no variance head; train with net.learn_variance=true "
                "objective=hybrid, or set vlb.variance=posterior"
            )

    def prior(self, x0: Float[Tensor, "b *shape"]) -> Bits:
        """L_T: KL(q(x_T | x0) || prior)."""
        alpha, sigma = self.ladder.alpha[-1], self.ladder.sigma[-1]
        total = sigma**2 + (alpha * self.sigma_data) ** 2
        kl = gaussian_kl(alpha * x0.double(), (sigma**2).log(), total.log())
        return kl.flatten(1).mean(1) / math.log(2)

    def terms(self, x0: Float[Tensor, "b *shape"], eps: Float[Tensor, "b *shape"], level: Int64[Tensor, " b"]) -> Bits:
        """The term of the step from level[i] of row i, one draw: L_0 where the level is 0, else a KL."""
        alpha, sigma, pull, lower, upper = (
            a[level.cpu()].to(x0.device).reshape(-1, *[1] * (x0.ndim - 1))
            for a in (self.ladder.alpha, self.ladder.sigma, self.ladder.pull, self.ladder.lower, self.ladder.upper)
        )
        x0_hat, fraction = self._guess(x0, eps, alpha, sigma)
        log_variance = lower.log() + fraction * (upper / lower).log()
        kl = gaussian_kl(pull * (x0.double() - x0_hat), lower.log(), log_variance)
        nats = kl.flatten(1).mean(1)
        if (first := level == 0).any():
            std = (log_variance / 2).exp() if self.variance == "learned" else sigma / alpha
            nats[first] = -log_mass(x0[first], x0_hat[first], std[first]).flatten(1).mean(1)
        return nats / math.log(2)

    def _guess(self, x0: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """The guess of x0 and the fraction in float64, the network in the dtype of x0."""
        a, s = alpha.to(x0), sigma.to(x0)
        x = a * x0 + s * eps
        if self.variance == "learned":
            denoise: Any = self.denoise
            x0_hat, fraction = denoise.with_variance(x, a, s)
            fraction = fraction.double().clamp(0, 1)
        else:
            x0_hat = self.denoise(x, a, s)
            fraction = torch.full_like(alpha, float(self.variance == "upper"))
        return (x0_hat.clamp(-1, 1) if self.clip else x0_hat).double(), fraction


def log_mass(
    x0: Float[Tensor, "b *shape"], mean: Float64[Tensor, "b *shape"], std: Float64[Tensor, "..."]
) -> Float64[Tensor, "b *shape"]:
    """log of the mass that N(mean, std^2) gives to the level of each pixel: DDPM eq. 13, in nats.

    The first and the last level take the tails. Far from the mean it falls as it should, without a floor: one at 1e-12
    would hide what a mean costs that is sure and wrong.
    """
    away = x0.double() - mean
    below, above = (away - HALF_LEVEL) / std, (away + HALF_LEVEL) / std
    below = torch.where(x0 < -1 + HALF_LEVEL, -math.inf, below)
    above = torch.where(x0 > 1 - HALF_LEVEL, math.inf, above)
    # In the lower tail, where a difference of two cumulative masses keeps its digits.
    far, near = torch.where(away > 0, -above, below), torch.where(away > 0, -below, above)
    log_far, log_near = torch.special.log_ndtr(far), torch.special.log_ndtr(near)
    return log_near + torch.log1p(-(log_far - log_near).exp())


def variance_of(denoise: Denoise, word: str) -> str:
    """What vlb.variance=auto stands for: learned where the network has it, else upper."""
    if word != "auto":
        return word
    return "learned" if _learns(denoise) else "upper"


def _learns(denoise: Denoise) -> bool:
    return bool(getattr(denoise, "learns_variance", hasattr(denoise, "with_variance")))
