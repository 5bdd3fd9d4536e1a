"""Nearest neighbours by Euclidean distance: exact, and in little memory.

Candidates come from |a|^2 + |b|^2 - 2 a.b in float64, a block at a time; their distances are then taken by subtraction.
Where rounding could have hidden a nearer row, or more rows tie than there are candidates, that row is searched in full.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float64, Int64, Shaped
from torch import Tensor

from difflab.errors import DifflabError
from difflab.progress import Bars, silent

BLOCK = 2048  # rows a side: 34 MB of distances
SLACK = 8  # candidates beyond k, so that ties seldom need the full search


class Nearest(NamedTuple):
    """The k nearest rows, the nearest first; of equal ones the one with the lower index first."""

    distance: Float64[Tensor, "n k"]
    rows: Int64[Tensor, "n k"]


def nearest(
    views: Sequence[Shaped[Tensor, "n d"]],
    among: Shaped[Tensor, "m d"],
    k: int,
    excluding: Int64[Tensor, "n"] | None = None,
    block: int = BLOCK,
    bars: Bars = silent,
) -> Nearest:
    """The `k` rows of `among` nearest to each of n things, or all of them where there are fewer.

    Args:
        views: the same n things as they are, and as they may also be taken (mirrored): the least distance counts.
        excluding: a row of `among` for each thing that does not count, such as the thing itself.

    Raises:
        DifflabError: there is nothing to be near to.
    """
    if len(among) <= (excluding is not None):
        raise DifflabError(f"neighbours are sought among {len(among)} training pictures: more are needed")
    search = _Search(among, k, excluding is not None, block)
    parts = [search.nothing()]
    with bars("nearest neighbours", len(views[0])) as advance:
        for start in range(0, len(views[0]), block):
            rows = [view[start : start + block].double() for view in views]
            parts.append(search(rows, None if excluding is None else excluding[start : start + block]))
            advance(len(rows[0]))
    return Nearest(*map(torch.cat, zip(*parts, strict=True)))


@dataclass(frozen=True)
class _Search:
    among: Shaped[Tensor, "m d"]
    wanted: int
    excludes: bool
    block: int

    @property
    def k(self) -> int:
        return min(self.wanted, self.available)

    @property
    def available(self) -> int:
        return len(self.among) - self.excludes

    @cached_property
    def longest(self) -> float:
        """The largest |b|^2."""
        return max(part.double().square().sum(1).max().item() for part in self.among.split(self.block))

    def nothing(self) -> Nearest:
        return Nearest(torch.empty(0, self.k, dtype=torch.float64), torch.empty(0, self.k, dtype=torch.int64))

    def __call__(self, rows: Sequence[Float64[Tensor, "b d"]], left_out: Int64[Tensor, "b"] | None) -> Nearest:
        squared, candidates = self._candidates(rows, left_out)
        distance, index = self._measured(rows, candidates)
        distance, index = distance[:, : self.k].contiguous(), index[:, : self.k].contiguous()
        for i in (~self._certain(rows, distance[:, -1], squared)).nonzero()[:, 0]:
            distance[i], index[i] = self._in_full([row[i] for row in rows], None if left_out is None else left_out[i])
        return Nearest(distance, index)

    def _candidates(
        self, rows: Sequence[Tensor], left_out: Tensor | None
    ) -> tuple[Float64[Tensor, "b c"], Int64[Tensor, "b c"]]:
        """Squared distances, to rounding, and indices of a few more than k rows, the nearest first."""
        count = min(self.wanted + SLACK, self.available)
        values, index = rows[0].new_empty(len(rows[0]), 0), torch.empty(len(rows[0]), 0, dtype=torch.int64)
        for start in range(0, len(self.among), self.block):
            part = self.among[start : start + self.block].double()
            squared = torch.stack([_squared(row, part) for row in rows]).amin(0)
            if left_out is not None:
                here = (left_out >= start) & (left_out < start + len(part))
                squared[here, left_out[here] - start] = torch.inf
            top = squared.topk(min(count, len(part)), largest=False)
            values, index = torch.cat([values, top.values], 1), torch.cat([index, top.indices + start], 1)
            top = values.topk(min(count, values.shape[1]), largest=False)
            values, index = top.values, index.gather(1, top.indices)
        return values, index

    def _measured(self, rows: Sequence[Tensor], index: Int64[Tensor, "b c"]) -> Nearest:
        """The candidates in the order of their exact distances; one column at a time, to save memory."""
        return _sorted(torch.stack([_least(rows, self.among[column].double()) for column in index.T], 1), index)

    def _certain(
        self, rows: Sequence[Tensor], kth: Float64[Tensor, "b"], squared: Float64[Tensor, "b c"]
    ) -> Bool[Tensor, "b"]:
        """Whether no row beyond the candidates can be as near as the k-th of them.

        The bound is the worst rounding of a dot product, d eps |a| |b|, for the sums of both squared distances.
        """
        if squared.shape[1] == self.available:
            return torch.ones(len(kth), dtype=torch.bool)
        rounding = 4 * self.among.shape[1] * torch.finfo(torch.float64).eps
        size = torch.stack([row.square().sum(1) for row in rows]).amax(0) + self.longest
        return kth.square() + rounding * size < squared[:, -1]

    def _in_full(self, rows: Sequence[Float64[Tensor, "d"]], left_out: Int64[Tensor, ""] | None) -> Nearest:
        distance = torch.cat([_least(rows, part.double()) for part in self.among.split(self.block)])
        if left_out is not None:
            distance[left_out] = torch.inf
        found = _sorted(distance, torch.arange(len(self.among)))
        return Nearest(found.distance[: self.k], found.rows[: self.k])


def _squared(a: Float64[Tensor, "b d"], b: Float64[Tensor, "m d"]) -> Float64[Tensor, "b m"]:
    return torch.addmm(a.square().sum(1)[:, None] + b.square().sum(1), a, b.T, alpha=-2)


def _least(rows: Sequence[Float64[Tensor, "*b d"]], others: Float64[Tensor, "b d"]) -> Float64[Tensor, "b"]:
    """Exact distances to `others`, by the nearer of the views."""
    return torch.stack([(row - others).square().sum(-1).sqrt() for row in rows]).amin(0)


def _sorted(distance: Float64[Tensor, "*b c"], index: Int64[Tensor, "*b c"]) -> Nearest:
    index, by_index = index.sort(-1)
    distance, by_distance = distance.gather(-1, by_index).sort(dim=-1, stable=True)
    return Nearest(distance, index.gather(-1, by_distance))
