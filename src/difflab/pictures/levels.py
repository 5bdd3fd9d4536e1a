"""The many small steps from a picture to noise: level i of `steps` is at t = i / steps."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from difflab.errors import DifflabError
from difflab.grids import Nodes
from difflab.schedules import Schedule


class Level(NamedTuple):
    step: int
    t: float
    alpha: Float64[Tensor, ""]
    sigma: Float64[Tensor, ""]

    @property
    def logsnr(self) -> float:
        """inf for the clean picture, -inf where nothing of it is left."""
        return float(2 * (self.alpha / self.sigma).log())

    def numbers(self) -> dict[str, int | float]:
        return {
            "step": self.step,
            "t": self.t,
            "alpha": self.alpha.item(),
            "sigma": self.sigma.item(),
            "logsnr": self.logsnr,
        }


@dataclass(frozen=True)
class Ladder:
    """The levels 0 .. last, where `last` is the step of the schedule's t_max. Level 0 is the clean picture."""

    schedule: Schedule
    steps: int = 1000

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise DifflabError(f"steps={self.steps}: from a picture to noise it takes 2 steps or more, such as 1000")

    @property
    def last(self) -> int:
        return int(self.schedule.t_max * self.steps + 1e-9)

    def level(self, step: int) -> Level:
        """The schedule at step / steps; the picture itself at step 0, even where the schedule has noise at t = 0."""
        t = torch.tensor(step / self.steps, dtype=torch.float64)
        alpha, sigma = self.schedule.alpha_sigma(t) if step else (torch.ones_like(t), torch.zeros_like(t))
        return Level(step, t.item(), alpha, sigma)

    def levels(self, steps: Iterable[int]) -> list[Level]:
        return [self.level(step) for step in steps]

    def spread(self, n: int) -> list[int]:
        """At most n steps, even from 0 to the last."""
        return sorted({round(i * self.last / (n - 1)) for i in range(n)})

    def nodes(self, steps: Iterable[int]) -> Nodes:
        """These levels from the noisiest on, then the clean picture, as a sampler would visit them."""
        levels = self.levels(sorted({0, *steps}, reverse=True))
        return Nodes(torch.stack([level.alpha for level in levels]), torch.stack([level.sigma for level in levels]))

    def check(self, at: Iterable[int]) -> None:
        """Raises DifflabError for a step that training never sees."""
        for step in at:
            if not self.schedule.t_min - 1e-9 <= step / self.steps <= self.last / self.steps:
                raise DifflabError(
                    f"at={step}: schedule '{self.schedule.name}' is trained from t={self.schedule.t_min:g} to "
                    f"t={self.schedule.t_max:g}, which are the steps {self._first()} to {self.last} of {self.steps}"
                )

    def _first(self) -> int:
        return max(1, -int(-self.schedule.t_min * self.steps // 1))
