"""The density of training times.

Every draw is stratified: the batch's quantiles are (u + i) / n with one shared u, which leaves each time's
density as it is and lowers the variance of the loss (VDM, 2107.00630, appendix I.1).
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from difflab.schedules import Schedule


class Times(ABC):
    @abstractmethod
    def quantile(self, u: Float64[Tensor, " n"], schedule: Schedule) -> Float64[Tensor, " n"]:
        """The time below which a share u in (0, 1) of the draws falls."""

    def draw(self, n: int, schedule: Schedule, generator: torch.Generator) -> Float64[Tensor, " n"]:
        """n times in [t_min, t_max] of the schedule, float64."""
        u = torch.rand((), generator=generator, dtype=torch.float64, device=generator.device)
        u = (u + torch.arange(n, dtype=torch.float64, device=generator.device)) / n
        return self.within(u, schedule)

    def within(self, u: Float64[Tensor, " n"], schedule: Schedule) -> Float64[Tensor, " n"]:
        """`quantile`, held in [t_min, t_max] of the schedule."""
        return self.quantile(u.clamp(1e-9, 1 - 1e-9), schedule).clamp(schedule.t_min, schedule.t_max)

    def importance(self, t: Float64[Tensor, " n"], schedule: Schedule) -> Float64[Tensor, " n"]:
        """The factor on the loss that undoes this density: 1 where the density is part of the objective."""
        return torch.ones_like(t)

    def observe(self, t: Float64[Tensor, " n"], loss: Float[Tensor, " n"], schedule: Schedule) -> None:  # noqa: B027
        """Told the loss at each time that was drawn, for a density that learns from it."""


@dataclass(frozen=True)
class Uniform(Times):
    """Uniform in t: DDPM (2006.11239), algorithm 1."""

    def quantile(self, u: Float64[Tensor, " n"], schedule: Schedule) -> Float64[Tensor, " n"]:
        return schedule.t_min + u * (schedule.t_max - schedule.t_min)


@dataclass(frozen=True)
class UniformLogsnr(Times):
    """Uniform in logsnr between the schedule's ends, within +-limit: the weighting alone says what a level counts
    (2303.00848, section 3)."""

    limit: float = 15.0

    def quantile(self, u: Float64[Tensor, " n"], schedule: Schedule) -> Float64[Tensor, " n"]:
        ends = torch.tensor([schedule.t_min, schedule.t_max], dtype=u.dtype, device=u.device)
        high, low = schedule.logsnr(ends).clamp(-self.limit, self.limit)
        return schedule.t_of_logsnr(high + u * (low - high))


@dataclass(frozen=True)
class Lognormal(Times):
    """log(sigma/alpha) normal with this mean and standard deviation: EDM (2206.00364, table 1)."""

    mean: float = -1.2
    std: float = 1.2

    def quantile(self, u: Float64[Tensor, " n"], schedule: Schedule) -> Float64[Tensor, " n"]:
        return schedule.t_of_logsnr(-2 * (self.mean + self.std * _normal(u)))


@dataclass(frozen=True)
class LogitNormal(Times):
    """log(t / (1 - t)) normal with this mean and standard deviation: SD3 (2403.03206) eq. 19."""

    mean: float = 0.0
    std: float = 1.0

    def quantile(self, u: Float64[Tensor, " n"], schedule: Schedule) -> Float64[Tensor, " n"]:
        return (self.mean + self.std * _normal(u)).sigmoid()


@dataclass(frozen=True)
class Nodes(Times):
    """One of `levels` evenly spaced times 1/levels .. 1: DDPM's discrete levels when levels = 1000."""

    levels: int = 1000

    def quantile(self, u: Float64[Tensor, " n"], schedule: Schedule) -> Float64[Tensor, " n"]:
        return ((u * self.levels).floor() + 1) / self.levels


def _normal(u: Float64[Tensor, " n"]) -> Float64[Tensor, " n"]:
    """The quantile of the standard normal distribution."""
    return math.sqrt(2) * torch.erfinv(2 * u - 1)
