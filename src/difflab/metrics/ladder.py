"""The levels of the variational bound, from the cleanest on, and the step back from each of them."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float64
from torch import Tensor

from difflab import variance
from difflab.errors import DifflabError
from difflab.grids import Nodes
from difflab.schedules import Schedule

NO_SIGNAL = -12.0
"""The logsnr below which levels even in logsnr add nothing: 1e-5 bits of a pixel."""

Levels = Float64[Tensor, " levels"]


@dataclass(frozen=True)
class Ladder:
    """Levels 1 .. L (here 0 .. L - 1), the noise rising. The step from the first is the likelihood of the pixels."""

    alpha: Levels
    sigma: Levels

    def __post_init__(self) -> None:
        if len(self.alpha) < 2 or (self.alpha[1:] * self.sigma[:-1] >= self.alpha[:-1] * self.sigma[1:]).any():
            raise DifflabError("a bound needs 2 levels or more, each noisier than the one before: take fewer levels")

    def __len__(self) -> int:
        return len(self.alpha)

    @property
    def logsnr(self) -> Levels:
        return 2 * (self.alpha / self.sigma).log()

    @cached_property
    def lower(self) -> Levels:
        """The variance of the step given x0. The first has none and borrows the second's, as iDDPM's code does: a bound
        for a learned variance, and far too narrow by itself where levels are dense."""
        inner = variance.posterior(*self._steps)
        return torch.cat([inner[:1] / self.alpha[0] ** 2, inner])

    @cached_property
    def upper(self) -> Levels:
        """The variance of the step for white data of variance 1; of the first, down to the clean picture."""
        clean = torch.ones_like(self.alpha[:1]), torch.zeros_like(self.alpha[:1])
        return torch.cat([variance.upper(self.alpha[:1], self.sigma[:1], *clean), variance.upper(*self._steps)])

    @cached_property
    def pull(self) -> Levels:
        """What x0 counts in the mean of the step."""
        alpha = self.alpha[1:]
        inner = variance.posterior_mean(torch.zeros_like(alpha), torch.ones_like(alpha), *self._steps)
        return torch.cat([torch.ones_like(inner[:1]), inner])

    def expected(self, sigma_data: int | float) -> Levels:
        """What each KL would be, in nats, for white Gaussian data and its exact denoiser; 0 of the first level."""
        mse = (sigma_data * self.sigma) ** 2 / ((self.alpha * sigma_data) ** 2 + self.sigma**2)
        kl = self.pull**2 * mse / (2 * self.lower)
        return torch.cat([torch.zeros_like(kl[:1]), kl[1:]])

    def nodes(self) -> Nodes:
        """The levels at which the denoiser is asked, as a grid."""
        alpha, sigma = self.alpha.flip(0), self.sigma.flip(0)
        return Nodes(torch.cat([alpha, alpha.new_ones(1)]), torch.cat([sigma, sigma.new_zeros(1)]))

    @property
    def _steps(self) -> tuple[Levels, Levels, Levels, Levels]:
        return self.alpha[1:], self.sigma[1:], self.alpha[:-1], self.sigma[:-1]


def ladder(schedule: Schedule, levels: int, sigma_min: int | float | None = None, spacing: str = "t") -> Ladder:
    """`levels` levels of the schedule up to its t_max.

    spacing=t: even in t from the first of `levels` steps, t_max / levels, on; a table of as many levels gives its own
    nodes. spacing=logsnr: even in logsnr from t_min on. Either begins at sigma/alpha = `sigma_min` where this is
    noisier: below half a grey level noise hides nothing, and its steps only cost. Raises DifflabError for an unknown
    spacing and for a sigma_min that the schedule ends before.
    """
    if spacing not in ("t", "logsnr"):
        raise DifflabError(f"vlb.spacing={spacing}: the levels are even in t or in logsnr")
    if levels < 2:
        raise DifflabError(f"vlb.levels={levels}: a bound needs 2 levels or more, such as 1000")
    first = max(schedule.t_min, schedule.t_max / levels) if spacing == "t" else schedule.t_min
    first = first_time(schedule, first, sigma_min, "vlb.sigma_min")
    t = torch.linspace(first, schedule.t_max, levels, dtype=torch.float64)
    if spacing == "t":
        return Ladder(*schedule.alpha_sigma(t))
    top, bottom = schedule.logsnr(t[[0, -1]]).clamp(min=NO_SIGNAL).tolist()
    return Ladder(*schedule.at_logsnr(torch.linspace(top, bottom, levels, dtype=torch.float64)))


def first_time(schedule: Schedule, t: int | float, sigma_min: int | float | None, key: str) -> float:
    """`t`, or the later time at which sigma/alpha is sigma_min."""
    if sigma_min is None:
        return t
    level = torch.tensor(-2 * math.log(sigma_min), dtype=torch.float64)
    if level <= schedule.logsnr(torch.tensor(schedule.t_max, dtype=torch.float64)):
        raise DifflabError(f"{key}={sigma_min}: schedule '{schedule.name}' ends with less noise; take a smaller one")
    if level >= schedule.logsnr(torch.tensor(t, dtype=torch.float64)):
        return t
    return schedule.t_of_logsnr(level).item()
