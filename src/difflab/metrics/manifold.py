"""Distances between rows of features, a block of rows at a time, and to each row's nearest others."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from difflab import rng
from difflab.errors import DifflabError
from difflab.metrics.extractor import Reading
from difflab.metrics.measure import LeftOut
from difflab.metrics.protocol import Entry
from difflab.metrics.reference import Reference

ROWS = 1000
"""In a block: a table of 10,000 x 10,000 distances is met 80 MB at a time."""


class Sides:
    """Features of samples and of the reference, at most `pictures` seeded draws of each, shifted by one mean.

    `details` say how many. Squared distances are |a|^2 + |b|^2 - 2 a.b, which loses digits where features lie far from
    the origin: after the shift they are good to `slack`, some 1e-13 of the largest squared feature. Every radius is
    longer by that, so that a copy of a picture is inside where the picture is.

    Raises:
        LeftOut: a reference of moments alone.
        DifflabError: a side with k pictures or fewer.
    """

    def __init__(self, name: str, made: Reading, real: Reference, pictures: int, k: int, seed: int) -> None:
        if real.features is None:
            raise LeftOut(name, "the reference holds moments alone, no features")
        x, y = (
            _drawn(side, pictures, rng.generator(seed, "neighbours", which)).double()
            for which, side in (("made", made.features), ("real", real.features))
        )
        if k < 1 or min(len(x), len(y)) <= k:
            raise DifflabError(
                f"{name} looks at the {k} nearest of {len(x)} samples and {len(y)} reference pictures: raise metrics.n "
                f"and figures.{name}.pictures above figures.{name}.k, which is 1 or more"
            )
        mean = y.mean(0)
        self.made, self.real = x - mean, y - mean
        largest = max(side.square().sum(1).max().item() for side in (self.made, self.real))
        self.slack = 512 * torch.finfo(torch.float64).eps * largest
        self.details: dict[str, Entry] = {f"{name}_k": k, f"{name}_n": len(x), f"{name}_reference_n": len(y)}


def squared_distances(x: Float64[Tensor, "n d"], y: Float64[Tensor, "m d"]) -> Iterator[Float64[Tensor, "r m"]]:
    """Blocks of rows of the n x m table."""
    lengths = y.square().sum(1)
    for part in x.split(ROWS):
        yield (part @ y.mT).mul_(-2).add_(lengths).add_(part.square().sum(1)[:, None]).clamp_(min=0)


def nearest_others(x: Float64[Tensor, "n d"], k: int) -> tuple[Float64[Tensor, "n k"], Tensor]:
    """Squared distances of each row to its k nearest other rows, rising, and which rows they are."""
    found = []
    for i, block in enumerate(squared_distances(x, x)):
        block[:, i * ROWS :].fill_diagonal_(float("inf"))
        found.append(block.topk(k, largest=False))
    return torch.cat([top.values for top in found]), torch.cat([top.indices for top in found])


def _drawn(x: Float[Tensor, "n d"], count: int, generator: torch.Generator) -> Float[Tensor, "s d"]:
    return x if len(x) <= count else x[torch.randperm(len(x), generator=generator)[:count]]
