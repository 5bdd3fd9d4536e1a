"""Schedules made of other schedules: on the path of the first, which also gives t_min, with other times.

They only ever ask for levels (logsnr), so any schedule goes in: table or formula, with finite ends or without.
"""

import math
from dataclasses import dataclass, field, fields
from functools import cached_property

import torch

from difflab.errors import DifflabError
from difflab.schedules import Level, Schedule, Times


@dataclass(frozen=True)
class Reshaped(Schedule):
    t_min: float = field(init=False)
    t_max: int | float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "t_min", self._parts[0].t_min)
        super().__post_init__()

    def at_logsnr(self, logsnr: Level) -> tuple[Level, Level]:
        return self._parts[0].at_logsnr(logsnr)

    @property
    def name(self) -> str:
        return f"{super().name}({', '.join(part.name for part in self._parts)})"

    @property
    def _parts(self) -> list[Schedule]:
        values = [getattr(self, f.name) for f in fields(self)]
        return [v for v in values if isinstance(v, Schedule)]


@dataclass(frozen=True)
class Shifted(Reshaped):
    """`factor` times as much noise to the signal at every time: logsnr(t) = base's - 2 log(factor).

    factor = resolution / 64 is simple diffusion's (2301.11093) section 3.1. Over Rectified it is SD3's
    t' = s t / (1 + (s - 1) t) with s = factor (2403.03206) eq. 23. An end without noise or without signal stays
    so; a finite end moves, so that a table or VE ends `factor` times as noisy as its base does.
    """

    base: Schedule
    factor: int | float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(0 < self.factor < math.inf, "factor > 0")

    def alpha_sigma(self, t: Times) -> tuple[Level, Level]:
        return self.at_logsnr(self.logsnr(t))

    def logsnr(self, t: Times) -> Level:
        return self.base.logsnr(t) - 2 * math.log(self.factor)

    def t_of_logsnr(self, logsnr: Level) -> Times:
        return self.base.t_of_logsnr(logsnr + 2 * math.log(self.factor))

    def dlogsnr(self, t: Times) -> Level:
        return self.base.dlogsnr(t)


@dataclass(frozen=True)
class ZeroTerminalSnr(Reshaped):
    """No signal is left at t = 1: alpha' = (alpha - alpha(1)) alpha(t_min) / (alpha(t_min) - alpha(1)).

    2305.08891, algorithm 1. Below t_min, where their table has no level, it is the base. sigma' is from
    alpha'^2 + sigma'^2 = 1. Raises DifflabError for a base that does not preserve the variance.
    """

    base: Schedule

    def __post_init__(self) -> None:
        super().__post_init__()
        alpha, sigma = self.base.alpha_sigma(torch.tensor([self.t_min, 0.5, 1.0], dtype=torch.float64))
        if ((alpha**2 + sigma**2 - 1).abs() > 1e-6).any():
            raise DifflabError(
                f"schedule 'zeroterminalsnr' takes sigma from alpha^2 + sigma^2 = 1, which its base "
                f"'{self.base.name}' does not keep: use a table, LinearVP or another variance-preserving base"
            )

    def alpha_sigma(self, t: Times) -> tuple[Level, Level]:
        first, last, _ = self._ends
        alpha, sigma = self._lower(*self.base.alpha_sigma(t), last / (first - last))
        # What rounding leaves of alpha(1) - alpha(1) is no signal.
        return torch.where(t < 1, alpha.clamp(min=0), 0.0), sigma

    def t_of_logsnr(self, logsnr: Level) -> Times:
        first, last, _ = self._ends
        alpha, sigma = self._lower(*self.at_logsnr(logsnr), -last / first)
        return self.base.t_of_logsnr(2 * (alpha / sigma).log()).clamp(max=1)

    def dlogsnr(self, t: Times) -> Level:
        """At t_min it jumps, from the base's to the steeper one."""
        first, last, _ = self._ends
        (alpha, sigma), (alpha_, sigma_) = self.base.alpha_sigma(t), self.alpha_sigma(t)
        # d alpha = alpha sigma^2 / 2 d logsnr where the variance is preserved.
        ratio = first / (first - last) * alpha * sigma**2 / (alpha_ * sigma_**2)
        slope = self.base.dlogsnr(t) * torch.where(t < self.t_min, 1.0, ratio)
        return torch.where(alpha_ > 0, slope, -math.inf)

    def _lower(self, alpha: Level, sigma: Level, rate: float) -> tuple[Level, Level]:
        """alpha - rate (alpha(t_min) - alpha), only below alpha(t_min), and its sigma.

        The algorithm with rate = alpha(1) / (alpha(t_min) - alpha(1)), its inverse with -alpha(1) / alpha(t_min).
        In terms of 1 - alpha, so that nothing cancels next to the data.
        """
        gap = sigma**2 / (1 + alpha)
        beyond = (gap - self._ends[2]).clamp(min=0)
        alpha_ = alpha - rate * beyond
        return alpha_, ((gap + rate * beyond) * (1 + alpha_)).sqrt()

    @cached_property
    def _ends(self) -> tuple[float, float, float]:
        """alpha(t_min), alpha(1), and 1 - alpha(t_min) of the base."""
        alpha, sigma = self.base.alpha_sigma(torch.tensor([self.t_min, 1.0], dtype=torch.float64))
        gap = sigma**2 / (1 + alpha)
        return alpha[0].item(), alpha[1].item(), gap[0].item()


@dataclass(frozen=True)
class Interpolated(Reshaped):
    """From one schedule at t = 0 to another at t = 1: logsnr(t) = (1 - t) at_data's + t at_noise's.

    Simple diffusion (2301.11093), section 3.1, with two shifts of the cosine; the path is at_data's. Raises
    DifflabError for a pair whose mean does not fall everywhere up to t_max.
    """

    at_data: Schedule
    at_noise: Schedule

    def __post_init__(self) -> None:
        super().__post_init__()
        t = torch.linspace(-36, 36, 721, dtype=torch.float64).sigmoid()
        rising = ~(self.dlogsnr(t) < 0) & (t <= self.t_max)
        if rising.any():
            raise DifflabError(
                f"from '{self.at_data.name}' at the data to '{self.at_noise.name}' at the noise, logsnr rises at "
                f"t={t[rising][0].item():.6g}: exchange them, take levels that differ less, or set schedule.t_max lower"
            )

    def alpha_sigma(self, t: Times) -> tuple[Level, Level]:
        return self.at_logsnr(self.logsnr(t))

    def logsnr(self, t: Times) -> Level:
        return _vanishing(1 - t, self.at_data.logsnr(t)) + _vanishing(t, self.at_noise.logsnr(t))

    def t_of_logsnr(self, logsnr: Level) -> Times:
        """By halving, since there is no closed form. A level beyond an end's gives this end.

        The float64 numbers from 0 to 1 are halved, all 2^62 of them in their order, and not the interval: so
        times next to 0 are found as precisely as others. Costs 62 evaluations.
        """
        low = torch.zeros_like(logsnr, dtype=torch.int64)
        high = torch.ones_like(logsnr, dtype=torch.float64).view(torch.int64) + 1
        for _ in range(62):
            middle = low + (high - low) // 2
            noisier = self.logsnr(middle.view(torch.float64)) < logsnr
            low, high = torch.where(noisier, low, middle), torch.where(noisier, middle, high)
        return low.view(torch.float64).to(logsnr)

    def dlogsnr(self, t: Times) -> Level:
        here = self.at_noise.logsnr(t) - self.at_data.logsnr(t)
        slope = here + (1 - t) * self.at_data.dlogsnr(t) + t * self.at_noise.dlogsnr(t)
        # inf - inf and 0 inf come up only at an end where logsnr is infinite.
        return torch.where(slope.isnan(), -math.inf, slope)


def _vanishing(weight: Times, logsnr: Level) -> Level:
    """weight * logsnr, 0 where the weight is, also of an infinite level."""
    return torch.where(weight == 0, 0.0, weight * logsnr)
