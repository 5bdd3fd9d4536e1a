"""How far MMD^2 under a kernel scatters with the samples, the reference being what it is.

Given the reference, unbiased MMD^2 is a U-statistic of the samples, and Hoeffding's decomposition (1948) of the kernel
says how it varies with their number: k(x, x') = mean + g(x) + g(x') + rest, and the same for k(x, y).
Sutherland 2019 (https://arxiv.org/abs/1906.02104) has the formulas for two samples.
"""

from typing import NamedTuple

from jaxtyping import Float64
from torch import Tensor


class Sums(NamedTuple):
    """What is needed of a table of kernel values."""

    rows: Float64[Tensor, "n"]
    columns: Float64[Tensor, "m"]
    squares: Float64[Tensor, ""]

    @staticmethod
    def of(table: Float64[Tensor, "n m"]) -> "Sums":
        flat = table.flatten()
        return Sums(table.sum(1), table.sum(0), flat @ flat)

    @property
    def total(self) -> Float64[Tensor, ""]:
        return self.rows.sum()


class Spread(NamedTuple):
    """Variances of the parts of MMD^2, each per picture or per pair."""

    own: float
    """Of a sample's own effect g(x), against a reference without end; of a small one it may come out below 0."""
    within: float
    """Of the rest of k(x, x')."""
    across: float
    """Of the rest of k(x, y)."""

    def variance(self, n: int, m: int) -> float:
        """Of MMD^2 between n samples and m given reference pictures."""
        return 4 / n * max(0.0, self.own + self.across / m) + 2 * self.within / (n * (n - 1))


def spread(within: Sums, across: Sums) -> Spread:
    """From the tables of n >= 4 samples with each other, its diagonal zero, and with m >= 2 of the reference.

    Each variance is unbiased: what the rests leave in the means over rows is taken from their variance.
    """
    n, m = len(across.rows), len(across.columns)
    own = within.rows / (n - 1) - across.rows / m
    rest_within, rest_across = _rest_within(within), _rest_across(across)
    variance = own.var() - rest_within / (n - 1) - rest_across / m
    return Spread(variance.item(), rest_within.item(), rest_across.item())


def _rest_within(sums: Sums) -> Float64[Tensor, ""]:
    n = len(sums.rows)
    pairs = n * (n - 1)
    effects = (sums.rows / (n - 1) - sums.total / pairs) * (n - 1) / (n - 2)
    left = sums.squares - sums.total.square() / pairs - 2 * (n - 2) * effects.square().sum()
    return left.clamp(min=0) / (n * (n - 3))


def _rest_across(sums: Sums) -> Float64[Tensor, ""]:
    n, m = len(sums.rows), len(sums.columns)
    mean = sums.total / (n * m)
    rows, columns = sums.rows / m - mean, sums.columns / n - mean
    left = sums.squares - n * m * mean.square() - m * rows.square().sum() - n * columns.square().sum()
    return left.clamp(min=0) / ((n - 1) * (m - 1))
