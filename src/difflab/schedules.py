"""Noise schedules: how much of the picture and how much noise there is at time t.

x_t = alpha(t) x0 + sigma(t) eps, with t = 0 the data and t = 1 the noise. Everything is computed in the
dtype of its argument; callers pass float64, since logsnr near both ends cancels in float32.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

Times = Float[Tensor, "*b"]
Level = Float[Tensor, "*b"]


@dataclass(frozen=True)
class Schedule(ABC):
    """A Gaussian path. `t_min` and `t_max` bound the times that are trained and sampled."""

    t_min: float = 1e-4
    t_max: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.t_min < self.t_max <= 1:
            raise ValueError(f"0 < t_min < t_max <= 1 does not hold: t_min={self.t_min}, t_max={self.t_max}")

    @abstractmethod
    def alpha_sigma(self, t: Times) -> tuple[Level, Level]:
        """Signal and noise amplitude at t in [0, 1]."""

    @abstractmethod
    def t_of_logsnr(self, logsnr: Level) -> Times:
        """The inverse of `logsnr`."""

    def logsnr(self, t: Times) -> Level:
        """log(alpha^2 / sigma^2), falling in t."""
        alpha, sigma = self.alpha_sigma(t)
        return 2 * (alpha / sigma).log()

    @property
    def name(self) -> str:
        return type(self).__name__.lower()


@dataclass(frozen=True)
class Cosine(Schedule):
    """alpha = cos(pi t / 2), sigma = sin(pi t / 2): iDDPM (2102.09672) eq. 17 without its offset."""

    def alpha_sigma(self, t: Times) -> tuple[Level, Level]:
        return (t * math.pi / 2).cos(), (t * math.pi / 2).sin()

    def t_of_logsnr(self, logsnr: Level) -> Times:
        return (-logsnr / 2).exp().atan() * 2 / math.pi


@dataclass(frozen=True)
class LinearVP(Schedule):
    """DDPM's linear betas in continuous time: Song et al. (2011.13456) eq. 33."""

    beta_min: float = 0.1
    beta_max: float = 20.0

    def alpha_sigma(self, t: Times) -> tuple[Level, Level]:
        integral = t * self.beta_min + t**2 * (self.beta_max - self.beta_min) / 2  # of beta from 0 to t
        return (-integral / 2).exp(), (-torch.expm1(-integral)).sqrt()

    def t_of_logsnr(self, logsnr: Level) -> Times:
        integral, slope = softplus(-logsnr), self.beta_max - self.beta_min
        # The positive root of the quadratic above, in the form that does not cancel at small t.
        return 2 * integral / (self.beta_min + (self.beta_min**2 + 2 * slope * integral).sqrt())


@dataclass(frozen=True)
class Rectified(Schedule):
    """The straight line alpha = 1 - t, sigma = t: rectified flow (2209.03003), flow matching (2210.02747)."""

    def alpha_sigma(self, t: Times) -> tuple[Level, Level]:
        return 1 - t, t

    def t_of_logsnr(self, logsnr: Level) -> Times:
        return (-logsnr / 2).sigmoid()


@dataclass(frozen=True)
class VE(Schedule):
    """alpha = 1, sigma on Karras' ramp from sigma_min to sigma_max: EDM (2206.00364) eq. 5."""

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def alpha_sigma(self, t: Times) -> tuple[Level, Level]:
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        sigma = (low + t * (high - low)) ** self.rho
        return torch.ones_like(sigma), sigma

    def t_of_logsnr(self, logsnr: Level) -> Times:
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        return ((-logsnr / (2 * self.rho)).exp() - low) / (high - low)


class Tabulated(Schedule):
    """The discrete levels of a list of betas, level i at t = (i + 1) / n, piecewise linear in logsnr between.

    So "discrete" is not a mode: DDPM's 1000 levels (2006.11239, section 4) are nodes of a continuous path.
    Below the first node the first segment is continued.
    """

    def __init__(self, betas: Sequence[float] | Float[Tensor, " n"], t_max: float = 1.0) -> None:
        betas = torch.as_tensor(betas, dtype=torch.float64)
        if len(betas) < 2 or not ((betas > 0) & (betas < 1)).all():
            raise ValueError(f"a table needs at least 2 betas, all between 0 and 1: got {len(betas)}")
        super().__init__(t_min=1 / len(betas), t_max=t_max)
        log_alpha2 = torch.log1p(-betas).cumsum(0)
        self._logsnr = log_alpha2 - torch.log(-torch.expm1(log_alpha2))
        self._t = torch.arange(1, len(betas) + 1, dtype=torch.float64) / len(betas)

    def alpha_sigma(self, t: Times) -> tuple[Level, Level]:
        logsnr = self.logsnr(t)
        return logsnr.sigmoid().sqrt(), (-logsnr).sigmoid().sqrt()

    def logsnr(self, t: Times) -> Level:
        return _interpolate(t, self._t, self._logsnr)

    def t_of_logsnr(self, logsnr: Level) -> Times:
        return _interpolate(-logsnr, -self._logsnr, self._t)


def linear_betas(beta_min: float, beta_max: float, levels: int) -> Float[Tensor, " levels"]:
    """DDPM's betas, evenly spaced."""
    return torch.linspace(beta_min, beta_max, levels, dtype=torch.float64)


def _interpolate(x: Times, xs: Float[Tensor, " n"], ys: Float[Tensor, " n"]) -> Times:
    """Piecewise linear through (xs, ys), xs rising; the end segments are continued outside."""
    xs, ys = xs.to(x), ys.to(x)
    i = torch.searchsorted(xs, x.contiguous()).clamp(1, len(xs) - 1)
    return ys[i - 1] + (x - xs[i - 1]) * (ys[i] - ys[i - 1]) / (xs[i] - xs[i - 1])
