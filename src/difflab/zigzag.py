"""Grids that also go up: each wraps a base grid, on whose way down the state is noised again (see samplers.run).

Noise that comes back makes up for errors of the steps before; a denoiser without error is sampled from the same
distribution on every such grid. `base` makes the grid to wrap from its number of steps, such as the class Karras, so
that grid.steps has one owner; with the steps up, a zigzag grid has more steps than that.
"""

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from difflab.errors import DifflabError
from difflab.grids import Grid, Nodes, levels_at, noisiest_sigma_hat, ramp
from difflab.schedules import Schedule


@dataclass(frozen=True)
class Zigzag(Grid):
    base: Callable[[int], Grid]

    def __post_init__(self) -> None:
        super().__post_init__()
        self.base(self.steps)  # its errors belong to construction too

    def nodes(self, schedule: Schedule) -> Nodes:
        return self.wrap(self.base(self.steps).nodes(schedule), schedule)

    @abstractmethod
    def wrap(self, base: Nodes, schedule: Schedule) -> Nodes:
        """The levels of `base` with the ways up between them."""


@dataclass(frozen=True)
class Churn(Zigzag):
    """Before each step down, up to (1 + gamma) sigma_hat: EDM (2206.00364) algorithm 2, which is this grid with heun.

    gamma = min(churn / steps, sqrt(2) - 1) at levels in [sigma_hat_min, sigma_hat_max], else 0; nothing goes up beyond
    the schedule's t_max. There is no S_noise: noise of another strength than the new level's is no diffusion, and
    leaves the state off the path on which the denoiser was trained.
    """

    churn: int | float
    sigma_hat_min: int | float = 0.0
    sigma_hat_max: int | float = math.inf

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.churn >= 0:
            raise DifflabError(f"grid.churn={self.churn}: it is 0 (no step up) or more")
        _check_range(self.sigma_hat_min, self.sigma_hat_max)

    def wrap(self, base: Nodes, schedule: Schedule) -> Nodes:
        gamma = min(self.churn / self.steps, math.sqrt(2) - 1)
        before, after = base.sigma_hat[:-1], base.sigma_hat[1:]
        alpha, sigma = levels_at(schedule, (1 + gamma) * before)
        churned = (self.sigma_hat_min <= before) & (before <= self.sigma_hat_max) & (after < before)
        churned &= sigma / alpha > before * (1 + 1e-9)  # at t_max there is no way up
        return Nodes(_put_behind(base.alpha, alpha, churned), _put_behind(base.sigma, sigma, churned))


@dataclass(frozen=True)
class TimeTravel(Zigzag):
    """Back by `jump_length` levels, `jump_n_sample` - 1 times at every jump_length-th: RePaint (2201.09865) appendix B.

    RePaint goes up level by level, which is the same Markov chain as one step up. It jumps first where that many levels
    lie above, and last at the last level before the clean picture. The paper has 10 and 10 with 250 steps.
    """

    jump_length: int = 10
    jump_n_sample: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.jump_length < 1 or self.jump_n_sample < 1:
            raise DifflabError(
                f"grid.jump_length={self.jump_length}, grid.jump_n_sample={self.jump_n_sample}: both are 1 or more"
            )
        if self.jump_length >= self.steps and self.jump_n_sample > 1:
            raise DifflabError(
                f"grid.jump_length={self.jump_length} is no shorter than the way down of grid.steps={self.steps}: "
                "take more steps, or grid.jump_n_sample=1 for no jump"
            )

    def wrap(self, base: Nodes, schedule: Schedule) -> Nodes:
        del schedule  # every level is one of the base's
        n = len(base)
        visits = torch.tensor([*(n - 1 - t for t in self._states(n)), n])
        return Nodes(base.alpha[visits], base.sigma[visits])

    def _states(self, n: int) -> list[int]:
        """The t of RePaint's states x_t: n - 1 is the noisiest, 0 the last that is not clean."""
        left = dict.fromkeys(range(0, n - self.jump_length, self.jump_length), self.jump_n_sample - 1)
        t, states = n, []
        while t > 0:
            t -= 1
            states.append(t)
            if left.get(t, 0) > 0:
                left[t] -= 1
                t += self.jump_length
                states.append(t)
        return states


@dataclass(frozen=True)
class Restart(Zigzag):
    """Back and forth `repeats` times in one range of levels: Restart sampling (2306.14878) algorithm 1.

    On arrival at the base's level nearest to sigma_hat_min the state goes up to sigma_hat_max (no higher than the
    schedule's t_max) and down again in `inner_steps` on Karras' ramp. Another Restart as base makes another range.
    """

    sigma_hat_min: int | float
    sigma_hat_max: int | float
    repeats: int
    inner_steps: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_range(self.sigma_hat_min, self.sigma_hat_max)
        if not math.isfinite(self.sigma_hat_max):
            raise DifflabError(f"grid.sigma_hat_max={self.sigma_hat_max}: a restart goes up to a finite level")
        if self.repeats < 1 or self.inner_steps < 1:
            raise DifflabError(f"grid.repeats={self.repeats}, grid.inner_steps={self.inner_steps}: both are 1 or more")

    def wrap(self, base: Nodes, schedule: Schedule) -> Nodes:
        i = int((base.sigma_hat[:-1] - self.sigma_hat_min).abs().argmin())
        low = base.sigma_hat[i].item()
        high = min(self.sigma_hat_max, noisiest_sigma_hat(schedule))
        if low >= high:
            raise DifflabError(
                f"grid.sigma_hat_max={self.sigma_hat_max} is not above sigma_hat={low:.3g}, the level nearest to "
                f"grid.sigma_hat_min={self.sigma_hat_min} in {self.steps} steps: take more grid.steps"
            )
        alpha, sigma = levels_at(schedule, ramp(high, low, self.inner_steps + 1, rho=7.0)[:-1])

        def with_trips(x: Tensor, trip: Tensor) -> Tensor:
            return torch.cat([x[: i + 1], torch.cat([trip, x[i : i + 1]]).repeat(self.repeats), x[i + 1 :]])

        return Nodes(with_trips(base.alpha, alpha), with_trips(base.sigma, sigma))


def _put_behind(x: Tensor, new: Tensor, where: Tensor) -> Tensor:
    """new[i] behind x[i] where it says so; the last of x has no new one."""
    kept = torch.stack([torch.ones_like(where), where], 1)
    return torch.cat([torch.stack([x[:-1], new], 1)[kept], x[-1:]])


def _check_range(low: int | float, high: int | float) -> None:
    if not 0 <= low < high:
        raise DifflabError(
            f"grid.sigma_hat_min={low} and grid.sigma_hat_max={high} are no range: 0 <= sigma_hat_min < sigma_hat_max"
        )
