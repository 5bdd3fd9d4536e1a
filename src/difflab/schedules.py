"""Noise schedules: how much of the picture and how much noise there is at time t.

x_t = alpha(t) x0 + sigma(t) eps, with t = 0 the data and t = 1 the noise. Everything is computed in the
dtype of its argument; callers pass float64, since float32 has few times left next to t = 1. logsnr_schedules.py has
those that are defined by their logsnr, tables.py the discrete ones, reshaped.py those that are made of others.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from difflab.errors import DifflabError

Times = Float[Tensor, "*b"]
Level = Float[Tensor, "*b"]


@dataclass(frozen=True)
class Schedule(ABC):
    """A Gaussian path, and where on it each time is. `t_min` and `t_max` bound the times trained and sampled.

    Raises DifflabError for numbers that make no schedule.
    """

    t_min: float = 1e-4
    t_max: int | float = 1.0

    def __post_init__(self) -> None:
        self._require(0 < self.t_min < self.t_max <= 1, "0 < t_min < t_max <= 1")

    def _require(self, holds: bool, rule: str) -> None:
        if not holds:
            raise DifflabError(f"schedule '{self.name}' needs {rule}: got {self}")

    @abstractmethod
    def alpha_sigma(self, t: Times) -> tuple[Level, Level]:
        """Signal and noise amplitude at t in [0, 1]."""

    @abstractmethod
    def at_logsnr(self, logsnr: Level) -> tuple[Level, Level]:
        """Signal and noise amplitude at a level, also where times are too dense or too few to say it."""

    @abstractmethod
    def t_of_logsnr(self, logsnr: Level) -> Times:
        """The inverse of `logsnr`."""

    @abstractmethod
    def dlogsnr(self, t: Times) -> Level:
        """The derivative of `logsnr`, negative; -inf at an end where logsnr is infinite."""

    def logsnr(self, t: Times) -> Level:
        """log(alpha^2 / sigma^2), falling in t; infinite at an end where there is no noise or no signal."""
        alpha, sigma = self.alpha_sigma(t)
        return 2 * (alpha / sigma).log()

    @property
    def name(self) -> str:
        return type(self).__name__.lower()


@dataclass(frozen=True)
class VariancePreserving(Schedule):
    """alpha^2 + sigma^2 = 1."""

    def at_logsnr(self, logsnr: Level) -> tuple[Level, Level]:
        return logsnr.sigmoid().sqrt(), (-logsnr).sigmoid().sqrt()


@dataclass(frozen=True)
class Cosine(VariancePreserving):
    """alpha = cos(k t + c) / cos(c), k = pi/2 / (1 + s), c = k s with s = `offset`: iDDPM (2102.09672) eq. 17.

    s = 0 is cos(pi t / 2); theirs is 0.008, which spends fewer times next to the data.
    """

    offset: int | float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.offset >= 0, "offset >= 0")

    def alpha_sigma(self, t: Times) -> tuple[Level, Level]:
        k, c = self._line()
        # cos(k t + c) as a sine is 0 at t = 1, and 1 - alpha^2 as a product does not cancel at small t.
        alpha = (k * (1 - t)).sin() / math.cos(c)
        return alpha, (k * t).sin().sqrt() * (k * t + 2 * c).sin().sqrt() / math.cos(c)

    def t_of_logsnr(self, logsnr: Level) -> Times:
        k, c = self._line()
        cosine2, sine2 = math.cos(c) ** 2 * logsnr.sigmoid(), math.sin(c) ** 2 + math.cos(c) ** 2 * (-logsnr).sigmoid()
        return (torch.atan2(sine2.sqrt(), cosine2.sqrt()) - c) / k

    def dlogsnr(self, t: Times) -> Level:
        k, c = self._line()
        return -k * (2 / (k * (1 - t)).tan() + 1 / (k * t).tan() + 1 / (k * t + 2 * c).tan())

    def _line(self) -> tuple[float, float]:
        k = math.pi / 2 / (1 + self.offset)
        return k, k * self.offset


@dataclass(frozen=True)
class LinearVP(VariancePreserving):
    """DDPM's linear betas in continuous time: Song et al. (2011.13456) eq. 33. It ends at a finite level."""

    beta_min: int | float = 0.1
    beta_max: int | float = 20.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.beta_min >= 0 and self.beta_max > 0, "beta_min >= 0 and beta_max > 0")

    def alpha_sigma(self, t: Times) -> tuple[Level, Level]:
        integral = self._integral(t)
        return (-integral / 2).exp(), (-torch.expm1(-integral)).sqrt()

    def t_of_logsnr(self, logsnr: Level) -> Times:
        integral, slope = -logsigmoid(logsnr), self.beta_max - self.beta_min
        # The positive root of the quadratic below, in the form that does not cancel at small t.
        return 2 * integral / (self.beta_min + (self.beta_min**2 + 2 * slope * integral).sqrt())

    def dlogsnr(self, t: Times) -> Level:
        beta = self.beta_min + t * (self.beta_max - self.beta_min)
        return beta / torch.expm1(-self._integral(t))

    def _integral(self, t: Times) -> Level:
        """Of beta from 0 to t."""
        return t * self.beta_min + t**2 * (self.beta_max - self.beta_min) / 2


@dataclass(frozen=True)
class Rectified(Schedule):
    """The straight line alpha = 1 - t, sigma = t: rectified flow (2209.03003), flow matching (2210.02747)."""

    def alpha_sigma(self, t: Times) -> tuple[Level, Level]:
        return 1 - t, t

    def at_logsnr(self, logsnr: Level) -> tuple[Level, Level]:
        return (logsnr / 2).sigmoid(), (-logsnr / 2).sigmoid()

    def t_of_logsnr(self, logsnr: Level) -> Times:
        return (-logsnr / 2).sigmoid()

    def dlogsnr(self, t: Times) -> Level:
        return -2 / (t * (1 - t))


@dataclass(frozen=True)
class VE(Schedule):
    """alpha = 1, sigma on Karras' ramp from sigma_min to sigma_max: EDM (2206.00364) eq. 5. Both ends are finite."""

    sigma_min: int | float = 0.002
    sigma_max: int | float = 80.0
    rho: int | float = 7.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(0 < self.sigma_min < self.sigma_max and self.rho > 0, "0 < sigma_min < sigma_max and rho > 0")

    def alpha_sigma(self, t: Times) -> tuple[Level, Level]:
        low, slope = self._ramp()
        sigma = (low + t * slope) ** self.rho
        return torch.ones_like(sigma), sigma

    def at_logsnr(self, logsnr: Level) -> tuple[Level, Level]:
        return torch.ones_like(logsnr), (-logsnr / 2).exp()

    def logsnr(self, t: Times) -> Level:
        low, slope = self._ramp()
        return -2 * self.rho * (low + t * slope).log()

    def t_of_logsnr(self, logsnr: Level) -> Times:
        low, slope = self._ramp()
        return ((-logsnr / (2 * self.rho)).exp() - low) / slope

    def dlogsnr(self, t: Times) -> Level:
        low, slope = self._ramp()
        return -2 * self.rho * slope / (low + t * slope)

    def _ramp(self) -> tuple[float, float]:
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        return low, high - low
