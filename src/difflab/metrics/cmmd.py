"""CMMD: the squared maximum mean discrepancy of CLIP embeddings under a wide Gaussian kernel, times 1000.

Jayasumana et al. 2024, Rethinking FID (https://arxiv.org/abs/2401.09603), section 5. As in its code it is the
V-statistic, with the diagonals: too high by (1 - mean kernel) / n a side, at most 20 / n after the factor.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.nn.functional import normalize

from difflab.metrics.extractor import Reading
from difflab.metrics.measure import LeftOut, Value
from difflab.metrics.mmd import Sums, spread
from difflab.metrics.reference import Reference

SCALE = 1000
ROWS = 1000
"""Of the kernel at a time: 160 MB against 20,000 pictures."""


@dataclass(frozen=True)
class EmbeddingDistance:
    """cmmd: of features scaled to length 1, whatever the extractor; the paper's with CLIP ViT-L/14 at 336 pixels."""

    sigma: int | float = 10

    def __call__(self, made: Reading, real: Reference, seed: int) -> list[Value]:
        if real.features is None:
            raise LeftOut("cmmd", "the reference holds moments alone, no features")
        x, y = (normalize(side.double()) for side in (made.features, real.features))
        within, across = self._within(x), self._across(x, y)
        n, m = len(x), len(y)
        value = (within.total + n) / n**2 + self._mean(y) - 2 * across.total / (n * m)
        error = SCALE * spread(within, across).variance(n, m) ** 0.5 if n >= 4 else None
        return [Value("cmmd", max(0.0, SCALE * value.item()), error, {"cmmd_sigma": self.sigma})]

    def _kernel(self, x: Float64[Tensor, "n d"], y: Float64[Tensor, "m d"]) -> Float64[Tensor, "n m"]:
        """exp(-|x - y|^2 / (2 sigma^2)) of rows of length 1."""
        return (x @ y.mT).sub_(1).div_(self.sigma**2).exp_()

    def _across(self, x: Float64[Tensor, "n d"], y: Float64[Tensor, "m d"]) -> Sums:
        return _joined(Sums.of(self._kernel(part, y)) for part in x.split(ROWS))

    def _within(self, x: Float64[Tensor, "n d"]) -> Sums:
        """Without the diagonal, which is 1."""
        tables = (self._kernel(part, x) for part in x.split(ROWS))
        for_others = (_without(table, i * ROWS) for i, table in enumerate(tables))
        return _joined(map(Sums.of, for_others))

    def _mean(self, y: Float64[Tensor, "m d"]) -> Float64[Tensor, ""]:
        """Of the kernel between all rows, the diagonal too; half of the symmetric table is computed."""
        total = y.new_zeros(())
        for start in range(0, len(y), ROWS):
            table = self._kernel(y[start : start + ROWS], y[start:])
            total += table[:, :ROWS].sum() + 2 * table[:, ROWS:].sum()
        return total / len(y) ** 2


def _without(table: Float64[Tensor, "r m"], diagonal: int) -> Float64[Tensor, "r m"]:
    table[:, diagonal:].fill_diagonal_(0)
    return table


def _joined(parts: Iterator[Sums]) -> Sums:
    rows, columns, squares = zip(*parts, strict=True)
    return Sums(torch.cat(rows), torch.stack(columns).sum(0), torch.stack(squares).sum())
