"""What is explained: a schedule, pictures, and who guesses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxtyping import Float, UInt8
from torch import Tensor

from difflab.denoiser import Denoise, Pictures
from difflab.generation import Generation
from difflab.pictures.levels import Ladder
from difflab.predictions import Prediction
from difflab.rng import SampleNoise, fold
from difflab.times import Times
from difflab.weightings import Weighting


class Page(NamedTuple):
    """A picture, its film if it has one, and what is drawn as numbers."""

    picture: UInt8[Tensor, "3 h w"]
    film: Sequence[UInt8[Tensor, "3 H W"]]
    numbers: dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """`x0` are the pictures on which is measured; the first `n` of them are shown.

    `others` are weightings to compare with; `names` says in captions what data, denoiser and so on there are.
    """

    ladder: Ladder
    x0: Float[Tensor, "m c h w"]
    n: int
    at: Sequence[int]
    frames: int
    seed: int
    denoise: Denoise
    prediction: Prediction
    generation: Generation
    weighting: Weighting
    others: dict[str, Weighting]
    times: Times
    names: dict[str, str]

    def noise(self, purpose: str, n: int) -> SampleNoise:
        """Its own stream for each purpose and each of n pictures."""
        return SampleNoise(fold(self.seed, purpose), range(n))

    def guess(self, x: Pictures, alpha: Tensor, sigma: Tensor, batch: int = 64) -> list[Pictures]:
        """The guesses of x0, a batch at a time."""
        return [self.denoise(part, alpha, sigma) for part in x.split(batch)]
