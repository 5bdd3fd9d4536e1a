"""Sampling grids: the noise levels that a sampler visits, from the noisiest to none."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from difflab.errors import DifflabError
from difflab.schedules import Schedule


@dataclass(frozen=True)
class Nodes:
    """(alpha_i, sigma_i) of steps + 1 levels in float64; the last is the clean picture (1, 0)."""

    alpha: Float64[Tensor, " n"]
    sigma: Float64[Tensor, " n"]

    def __post_init__(self) -> None:
        if self.sigma[-1] != 0 or not (self.sigma[:-1] > 0).all():
            raise ValueError("a grid ends in sigma = 0, and only there")

    def __len__(self) -> int:
        """The number of steps."""
        return len(self.sigma) - 1

    def steps(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """(alpha, sigma, next alpha, next sigma) of each step, 0-d float64."""
        return zip(self.alpha[:-1], self.sigma[:-1], self.alpha[1:], self.sigma[1:], strict=True)


@dataclass(frozen=True)
class Grid(ABC):
    steps: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise DifflabError(f"grid.steps={self.steps}: a sampler needs at least 1 step, set grid.steps=20")

    @abstractmethod
    def times(self, schedule: Schedule, u: Float64[Tensor, " steps"]) -> Float64[Tensor, " steps"]:
        """The time of each node but the last, for u = 0 (noisiest), 1/steps, 2/steps ..."""

    def nodes(self, schedule: Schedule) -> Nodes:
        u = torch.arange(self.steps, dtype=torch.float64) / self.steps
        alpha, sigma = schedule.alpha_sigma(self.times(schedule, u))
        return Nodes(torch.cat([alpha, alpha.new_ones(1)]), torch.cat([sigma, sigma.new_zeros(1)]))


class UniformT(Grid):
    """Even in t from t_max to 0. On a table this is DDIM's stride with trailing spacing (2010.02502)."""

    def times(self, schedule: Schedule, u: Float64[Tensor, " steps"]) -> Float64[Tensor, " steps"]:
        return schedule.t_max * (1 - u)


@dataclass(frozen=True)
class Karras(Grid):
    """Even in sigma_hat^(1/rho) from sigma_max to sigma_min, then 0: EDM (2206.00364) eq. 5.

    It starts no noisier than the schedule at t_max, where training ends.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def times(self, schedule: Schedule, u: Float64[Tensor, " steps"]) -> Float64[Tensor, " steps"]:
        noisiest = (-_logsnr_at_the_start(schedule) / 2).exp().clamp(max=self.sigma_max)
        high, low = noisiest ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        sigma_hat = (high + _to_the_end(u) * (low - high)) ** self.rho
        return schedule.t_of_logsnr(-2 * sigma_hat.log())


@dataclass(frozen=True)
class UniformLogsnr(Grid):
    """Even in logsnr from logsnr_min to logsnr_max, then no noise: DPM-Solver (2206.00927, section 3.3).

    It starts no noisier than the schedule at t_max, where training ends.
    """

    logsnr_min: float = -10.0
    logsnr_max: float = 10.0

    def times(self, schedule: Schedule, u: Float64[Tensor, " steps"]) -> Float64[Tensor, " steps"]:
        low = _logsnr_at_the_start(schedule).clamp(min=self.logsnr_min)
        return schedule.t_of_logsnr(low + _to_the_end(u) * (self.logsnr_max - low))


def _logsnr_at_the_start(schedule: Schedule) -> Float64[Tensor, ""]:
    return schedule.logsnr(torch.tensor(schedule.t_max, dtype=torch.float64))


def _to_the_end(u: Float64[Tensor, " steps"]) -> Float64[Tensor, " steps"]:
    """u stretched so that its last value is 1; of a single step, the noisiest node stays."""
    return u / u[-1].clamp(min=torch.finfo(u.dtype).tiny)
