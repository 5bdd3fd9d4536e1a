"""A thousand terms of a bound from a few: unbiased, for each picture on its own."""

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from difflab.metrics.ladder import Ladder

EVEN = 0.1
"""The share of draws that fall on all levels alike, so that no term of a real network counts without bound."""


@dataclass(frozen=True)
class LevelDraws:
    """Which KL terms of a ladder are computed for a picture, and how much each of them counts.

    `per_picture` quantiles, (u + j) / per_picture with one u, of a density that follows the terms of white Gaussian
    data: a term that is drawn counts 1 / (per_picture x its probability), so that the sum has the bound's expectation.
    None: every term once. The first level, the likelihood of the pixels, is always computed, and counts 1.
    """

    ladder: Ladder
    sigma_data: int | float
    per_picture: int | None

    @property
    def evaluations(self) -> int:
        """Of the denoiser, a picture."""
        return len(self.ladder) if self._all else 1 + (self.per_picture or 0)

    def __call__(self, generator: torch.Generator) -> tuple[Int64[Tensor, " k"], Float64[Tensor, " k"]]:
        """The levels, and what their terms count."""
        if self._all:
            level = torch.arange(len(self.ladder))
            return level, torch.ones(len(level), dtype=torch.float64)
        k = self.per_picture or 1
        u = (torch.rand(1, generator=generator, dtype=torch.float64) + torch.arange(k)) / k
        density = self.density()
        level = torch.searchsorted(density.cumsum(0), u, right=True).clamp(1, len(density) - 1)
        counts = 1 / (k * density[level])
        return torch.cat([level.new_zeros(1), level]), torch.cat([counts.new_ones(1), counts])

    def density(self) -> Float64[Tensor, " levels"]:
        """The probability of each level; 0 of the first."""
        likely = self.ladder.expected(self.sigma_data)
        even = torch.ones_like(likely)
        even[0] = 0
        return (1 - EVEN) * likely / likely.sum() + EVEN * even / even.sum()

    @property
    def _all(self) -> bool:
        return self.per_picture is None or self.per_picture >= len(self.ladder) - 1
