"""Kernel distance (KID): the unbiased MMD^2 of a cubic kernel, which a small sample does not bias.

Binkowski et al. 2018, Demystifying MMD GANs (https://arxiv.org/abs/1801.01401), eq. 4 and section 4.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from difflab import rng
from difflab.errors import DifflabError
from difflab.metrics.extractor import Reading
from difflab.metrics.measure import LeftOut, Value, shortened
from difflab.metrics.mmd import Spread, Sums, spread
from difflab.metrics.protocol import Entry
from difflab.metrics.reference import Reference

NORMAL_95 = 1.959964
"""Standard errors on either side of a 95 % confidence interval."""


@dataclass(frozen=True)
class KernelDistance:
    """kid: the mean over `subsets` seeded subsets of `subset_size` pictures a side, cut to the smaller set.

    The details hold `kid_subsets_std`, the standard deviation over subsets that papers print behind ±: it says how a
    subset scatters, not the mean of them. The error does, and `kid_95_low` and `kid_95_high` are its interval.
    """

    subsets: int = 50
    subset_size: int = 500

    def __call__(self, made: Reading, real: Reference, seed: int) -> list[Value]:
        if real.features is None:
            raise LeftOut("kid", "the reference holds moments alone, no features")
        generator = rng.generator(seed, "kid")
        found = kid(real.features, made.features, self.subsets, self.subset_size, generator)
        details: dict[str, Entry] = {
            "kid_subsets": found.subsets,
            "kid_subset_size": found.subset_size,
            "kid_subsets_std": shortened(found.std),
        }
        if found.error is not None:
            details["kid_95_low"] = shortened(found.mean - NORMAL_95 * found.error)
            details["kid_95_high"] = shortened(found.mean + NORMAL_95 * found.error)
        return [Value("kid", found.mean, found.error, details)]


@dataclass(frozen=True)
class Kid:
    """Mean and standard deviation over subsets of `subset_size` rows drawn from each side, and the mean's error.

    `error` is the mean's standard error over q and the draws, p taken as given; None from fewer than 4 rows.
    """

    mean: float
    std: float
    error: float | None
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
    draws = [tuple(_draw(len(side), size, generator) for side in (p, q)) for _ in range(subsets)]
    of_p, of_q = map(list, zip(*(draws[:1] if size == len(p) == len(q) else draws), strict=True))
    tables = zip(_tables(p, p, of_p, of_p), _tables(q, q, of_q, of_q), _tables(q, p, of_q, of_p), strict=True)
    sums = [tuple(map(Sums.of, (_off_diagonal(pp), _off_diagonal(qq), qp))) for pp, qq, qp in tables]
    values = torch.stack([_mmd2(pp, qq, qp) for pp, qq, qp in sums])
    spreads = [spread(qq, qp) for _, qq, qp in sums] if size >= 4 else []
    error = _error(values, spreads, (len(p), len(q)), size) if spreads else None
    return Kid(values.mean().item(), values.std(correction=0).item(), error, subsets, size)


def mmd2(x: Float64[Tensor, "n d"], y: Float64[Tensor, "n d"]) -> float:
    """Unbiased MMD^2 (eq. 4) under k(a, b) = (a.b/d + 1)^3."""
    (xx, yy, xy) = (_kernel(a @ b.mT, x.shape[1]) for a, b in ((x, x), (y, y), (x, y)))
    return _mmd2(Sums.of(_off_diagonal(xx)), Sums.of(_off_diagonal(yy)), Sums.of(xy)).item()


def _mmd2(xx: Sums, yy: Sums, xy: Sums) -> Float64[Tensor, ""]:
    n = len(xy.rows)
    return (xx.total + yy.total) / (n * (n - 1)) - 2 * xy.total / n**2


def _error(values: Float64[Tensor, "s"], spreads: Sequence[Spread], counts: tuple[int, int], size: int) -> float:
    """Of the mean over subsets: what all samples would leave, and what draws of some of them add to it."""
    parts = Spread(*(sum(part) / len(spreads) for part in zip(*spreads, strict=True)))
    if size == counts[0] == counts[1] or len(values) == 1:
        return parts.variance(size, size) ** 0.5
    return (parts.variance(counts[1], counts[0]) + values.var().item() / len(values)) ** 0.5


def _tables(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], rows: Sequence[Tensor], columns: Sequence[Tensor]
) -> Iterator[Float64[Tensor, "s s"]]:
    """The kernel between the chosen rows of x and of y for each choice; from one table of all where that is less."""
    d = x.shape[1]
    if len(x) * len(y) <= len(rows[0]) ** 2 * len(rows):
        table = _kernel(x.double() @ y.double().mT, d)
        yield from (table[i][:, j] for i, j in zip(rows, columns, strict=True))
    else:
        yield from (_kernel(x[i].double() @ y[j].double().mT, d) for i, j in zip(rows, columns, strict=True))


def _kernel(products: Float64[Tensor, "n m"], d: int) -> Float64[Tensor, "n m"]:
    return products.div_(d).add_(1).pow_(3)


def _off_diagonal(table: Float64[Tensor, "n n"]) -> Float64[Tensor, "n n"]:
    return table.fill_diagonal_(0)


def _draw(count: int, size: int, generator: torch.Generator) -> Int64[Tensor, "s"]:
    return torch.randperm(count, generator=generator)[:size]
