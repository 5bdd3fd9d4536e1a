"""Sampling grids: the noise levels that a sampler visits, from the noisiest to none."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from difflab.errors import DifflabError
from difflab.schedules import Schedule


@dataclass(frozen=True)
class Nodes:
    """(alpha_i, sigma_i) of steps + 1 levels in float64. A grid's last is the clean picture (1, 0).

    A node that is noisier than the one before goes up: the sampler's state is diffused to it (see samplers.run).
    """

    alpha: Float64[Tensor, " n"]
    sigma: Float64[Tensor, " n"]

    def __post_init__(self) -> None:
        if not (self.sigma[:-1] > 0).all():
            raise ValueError("a grid may be clean (sigma = 0) at its last node only")
        if (self._rise() == 0).any():
            raise DifflabError("two neighbouring nodes of the grid have the same level: take fewer grid.steps")

    def __len__(self) -> int:
        """The number of steps."""
        return len(self.sigma) - 1

    @property
    def sigma_hat(self) -> Float64[Tensor, " n"]:
        """sigma/alpha: infinite where no signal is left, 0 at the clean picture."""
        return self.sigma / self.alpha

    def steps(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """(alpha, sigma, next alpha, next sigma) of each step, 0-d float64."""
        return zip(self.alpha[:-1], self.sigma[:-1], self.alpha[1:], self.sigma[1:], strict=True)

    def descents(self) -> list["Nodes"]:
        """The longest stretches in which the noise falls; a step up lies between each and the next."""
        cuts = ((self._rise() > 0).nonzero().flatten() + 1).tolist()
        pieces = zip([0, *cuts], [*cuts, len(self.sigma)], strict=True)
        return [Nodes(self.alpha[i:j], self.sigma[i:j]) for i, j in pieces]

    def _rise(self) -> Float64[Tensor, " steps"]:
        """Of the sign of the change of sigma/alpha in each step, which may be infinite."""
        return self.sigma[1:] * self.alpha[:-1] - self.sigma[:-1] * self.alpha[1:]


Levels = tuple[Float64[Tensor, " n"], Float64[Tensor, " n"]]  # alpha, sigma

SPACINGS = ("leading", "trailing", "linspace")


@dataclass(frozen=True)
class Grid(ABC):
    steps: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise DifflabError(f"grid.steps={self.steps}: a sampler needs at least 1 step, set grid.steps=20")

    @abstractmethod
    def nodes(self, schedule: Schedule) -> Nodes:
        """Levels of the schedule's own path, none noisier than at its t_max, where training ends."""


class Descent(Grid):
    """A grid whose noise falls from step to step."""

    @abstractmethod
    def visited(self, schedule: Schedule) -> Levels:
        """The level of each node but the clean one, falling."""

    def nodes(self, schedule: Schedule) -> Nodes:
        alpha, sigma = self.visited(schedule)
        if not (sigma[1:] * alpha[:-1] <= sigma[:-1] * alpha[1:]).all() or not (alpha + sigma).isfinite().all():
            raise DifflabError(f"the levels of {self} do not fall on schedule '{schedule.name}': exchange its ends")
        return Nodes(torch.cat([alpha, alpha.new_ones(1)]), torch.cat([sigma, sigma.new_zeros(1)]))


class UniformT(Descent):
    """Even in t from t_max to 0. On a table this is DDIM's stride with trailing spacing (2010.02502)."""

    def visited(self, schedule: Schedule) -> Levels:
        return schedule.alpha_sigma(schedule.t_max * (1 - torch.arange(self.steps, dtype=torch.float64) / self.steps))


@dataclass(frozen=True)
class Karras(Descent):
    """Even in sigma_hat^(1/rho) from sigma_max to sigma_min, then 0: EDM (2206.00364) eq. 5.

    It starts no noisier than the schedule at t_max.
    """

    sigma_min: int | float = 0.002
    sigma_max: int | float = 80.0
    rho: int | float = 7.0

    def visited(self, schedule: Schedule) -> Levels:
        high = min(self.sigma_max, noisiest_sigma_hat(schedule))
        return levels_at(schedule, ramp(high, self.sigma_min, self.steps, self.rho))


@dataclass(frozen=True)
class UniformLogsnr(Descent):
    """Even in logsnr from logsnr_min to logsnr_max, then no noise: DPM-Solver (2206.00927, section 3.3).

    It starts no noisier than the schedule at t_max.
    """

    logsnr_min: int | float = -10.0
    logsnr_max: int | float = 10.0

    def visited(self, schedule: Schedule) -> Levels:
        low = max(self.logsnr_min, lowest_logsnr(schedule))
        return schedule.at_logsnr(torch.linspace(low, self.logsnr_max, self.steps, dtype=torch.float64))


@dataclass(frozen=True)
class Stride(Descent):
    """Some of the levels i = 0 .. levels - 1 of a table, at t = (i + 1) / levels: DDIM (2010.02502), appendix D.2.

    The spacings have the names of Lin et al. (2305.08891, table 2): leading counts up from the cleanest level, shifted
    by `offset` (1 in Stable Diffusion), and never starts at the noisiest; trailing counts down from the noisiest;
    linspace has both. The table ends where the schedule's t_max does.
    """

    levels: int = 1000
    spacing: str = "leading"
    offset: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spacing not in SPACINGS:
            raise DifflabError(f"grid.spacing={self.spacing}: it is one of {', '.join(SPACINGS)}")
        if self.offset not in ((0, 1) if self.spacing == "leading" else (0,)):
            raise DifflabError(
                f"grid.offset={self.offset} with grid.spacing={self.spacing}: it is 0, or 1 with spacing=leading"
            )
        self._indices(self.levels)

    def visited(self, schedule: Schedule) -> Levels:
        trained = math.floor(self.levels * schedule.t_max + 1e-6)  # 1000 * 0.57 is 569.99...
        return schedule.alpha_sigma((torch.from_numpy(self._indices(trained)) + 1) / self.levels)

    def _indices(self, n: int) -> Float64[np.ndarray, " steps"]:
        """Of a table of n levels, falling, as diffusers writes them: ties are rounded by their last bit."""
        if self.steps + self.offset > n:
            raise DifflabError(
                f"grid.steps={self.steps} with grid.offset={self.offset} does not fit the {n} levels of the table: "
                f"take at most grid.steps={n - self.offset}"
            )
        if self.spacing == "trailing":
            return np.arange(n, 0, -n / self.steps)[: self.steps].round() - 1
        if self.spacing == "linspace":
            return np.linspace(0, n - 1, self.steps).round()[::-1].copy()
        return np.arange(self.steps, dtype=np.float64)[::-1] * (n // self.steps) + self.offset


@dataclass(frozen=True)
class Explicit(Descent):
    """A list of falling sigma_hats, then no noise.

    To other `steps` than the list has it is resampled, evenly in the list's own numbering and linearly in
    log sigma_hat, as Align Your Steps (2404.14507) does; `end` is the level that stands for no noise there, and
    without it the list's last level stays the last. What is noisier than the schedule at t_max gives way to that level.
    """

    sigma_hats: Sequence[int | float]
    end: int | float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        levels = [*self.sigma_hats, *self._end()]
        if not self.sigma_hats or not all(high > low for high, low in pairwise([math.inf, *levels, 0])):
            raise DifflabError(
                f"grid.sigma_hats={list(self.sigma_hats)} with grid.end={self.end}: they are finite numbers above 0 "
                "that fall to the end, such as [10.0, 1.0, 0.1] and 0.02"
            )

    def visited(self, schedule: Schedule) -> Levels:
        high = noisiest_sigma_hat(schedule)
        listed = [min(high, self.sigma_hats[0]), *(s for s in [*self.sigma_hats[1:], *self._end()] if s < high)]
        at = np.linspace(0, len(listed) - 1, self.steps + len(self._end()))[: self.steps]
        return schedule.at_logsnr(torch.from_numpy(np.interp(at, range(len(listed)), -2 * np.log(listed))))

    def _end(self) -> list[int | float]:
        return [] if self.end is None else [self.end]


def levels_at(schedule: Schedule, sigma_hat: Float64[Tensor, " n"]) -> Levels:
    """On the schedule's path, none noisier than at its t_max."""
    return schedule.at_logsnr((-2 * sigma_hat.log()).clamp(min=lowest_logsnr(schedule)))


def lowest_logsnr(schedule: Schedule) -> float:
    """At t_max, where training ends; -inf where no signal is left."""
    return schedule.logsnr(torch.tensor(schedule.t_max, dtype=torch.float64)).item()


def noisiest_sigma_hat(schedule: Schedule) -> float:
    return math.exp(-lowest_logsnr(schedule) / 2)


def ramp(high: int | float, low: int | float, n: int, rho: int | float) -> Float64[Tensor, " n"]:
    """n numbers even in x^(1/rho), from high to low; one alone is the high one."""
    return torch.linspace(high ** (1 / rho), low ** (1 / rho), n, dtype=torch.float64) ** rho
