"""The density of training times.

Every draw is stratified: the batch's quantiles are (u + i) / n with one shared u, which leaves each time's
density as it is and lowers the variance of the loss (VDM, 2107.00630, appendix I.1).
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from difflab.schedules import Schedule


@dataclass(frozen=True)
class Times(ABC):
    @abstractmethod
    def quantile(self, u: Float64[Tensor, " n"], schedule: Schedule) -> Float64[Tensor, " n"]:
        """The time below which a share u in (0, 1) of the draws falls."""

    def draw(self, n: int, schedule: Schedule, generator: torch.Generator) -> Float64[Tensor, " n"]:
        """n times in [t_min, t_max] of the schedule, float64."""
        u = torch.rand((), generator=generator, dtype=torch.float64, device=generator.device)
        u = (u + torch.arange(n, dtype=torch.float64, device=generator.device)) / n
        u = u.clamp(1e-9, 1 - 1e-9)
        return self.quantile(u, schedule).clamp(schedule.t_min, schedule.t_max)


class Uniform(Times):
    """Uniform in t: DDPM (2006.11239), algorithm 1."""

    def quantile(self, u: Float64[Tensor, " n"], schedule: Schedule) -> Float64[Tensor, " n"]:
        return schedule.t_min + u * (schedule.t_max - schedule.t_min)


@dataclass(frozen=True)
class Lognormal(Times):
    """log(sigma/alpha) normal with this mean and standard deviation: EDM (2206.00364, table 1)."""

    mean: float = -1.2
    std: float = 1.2

    def quantile(self, u: Float64[Tensor, " n"], schedule: Schedule) -> Float64[Tensor, " n"]:
        log_sigma_hat = self.mean + self.std * math.sqrt(2) * torch.erfinv(2 * u - 1)
        return schedule.t_of_logsnr(-2 * log_sigma_hat)


@dataclass(frozen=True)
class Nodes(Times):
    """One of `levels` evenly spaced times 1/levels .. 1: DDPM's discrete levels when levels = 1000."""

    levels: int = 1000

    def quantile(self, u: Float64[Tensor, " n"], schedule: Schedule) -> Float64[Tensor, " n"]:
        return ((u * self.levels).floor() + 1) / self.levels
