"""Kernel distance (KID): the unbiased MMD^2 of a cubic kernel, which a small sample does not bias.

Binkowski et al. 2018, Demystifying MMD GANs (https://arxiv.org/abs/1801.01401), eq. 4 and section 4.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from difflab import rng
from difflab.errors import DifflabError
from difflab.metrics.extractor import Reading
from difflab.metrics.measure import LeftOut, Value
from difflab.metrics.protocol import Entry
from difflab.metrics.reference import Reference


@dataclass(frozen=True)
class KernelDistance:
    """kid: the mean over `subsets` seeded subsets of `subset_size` pictures a side, cut to the smaller set."""

    subsets: int = 50
    subset_size: int = 500

    def __call__(self, made: Reading, real: Reference, seed: int) -> list[Value]:
        if real.features is None:
            raise LeftOut("kid", "the reference holds moments alone, no features")
        generator = rng.generator(seed, "kid")
        found = kid(real.features, made.features, self.subsets, self.subset_size, generator)
        drawn: dict[str, Entry] = {"kid_subsets": found.subsets, "kid_subset_size": found.subset_size}
        return [Value("kid", found.mean, found.std, drawn)]


@dataclass(frozen=True)
class Kid:
    """Mean and standard deviation over subsets of `subset_size` rows drawn from each side."""

    mean: float
    std: float
    subsets: int
    subset_size: int


def kid(
    p: Float[Tensor, "n d"],
    q: Float[Tensor, "m d"],
    subsets: int,
    subset_size: int,
    generator: torch.Generator,
) -> Kid:
    """KID between two sets of features; `subset_size` is cut to the smaller set, and the answer says so.

    Raises:
        DifflabError: fewer than two rows on a side, or no subset.
    """
    size = min(subset_size, len(p), len(q))
    if size < 2 or subsets < 1:
        raise DifflabError(
            f"KID needs subsets of 2 pictures, here {subsets} of {size} out of {len(p)} and {len(q)}: "
            "raise metrics.n, figures.kid.subset_size or figures.kid.subsets"
        )
    draws = [mmd2(_draw(p, size, generator), _draw(q, size, generator)) for _ in range(subsets)]
    values = torch.tensor(draws, dtype=torch.float64)
    return Kid(values.mean().item(), values.std(correction=0).item(), subsets, size)


def mmd2(x: Float64[Tensor, "n d"], y: Float64[Tensor, "n d"]) -> float:
    """Unbiased MMD^2 (eq. 4) under k(a, b) = (a.b/d + 1)^3."""
    n = len(x)
    within = sum((k.sum() - k.trace()) / (n * (n - 1)) for k in (_kernel(x, x), _kernel(y, y)))
    return float(within - 2 * _kernel(x, y).mean())


def _kernel(x: Float64[Tensor, "n d"], y: Float64[Tensor, "m d"]) -> Float64[Tensor, "n m"]:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _draw(x: Float[Tensor, "n d"], size: int, generator: torch.Generator) -> Float64[Tensor, "s d"]:
    return x[torch.randperm(len(x), generator=generator)[:size]].double()
