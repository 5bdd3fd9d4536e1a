"""Means of what was measured over stretches of images: rows that come at other times compare by them."""

from collections.abc import Iterable, Mapping
from typing import Any

Rows = Iterable[Mapping[str, Any]]

LONGEST = 1.25  # rows end with a step: one that is due every 2,000 images covers 2,016 in steps of 32


def mean_over(rows: Rows, curve: str, start: int, end: int) -> float | None:
    """The mean of a loss over the images after `start` up to `end`; None where no row says.

    A row of `NoiseLoss` is the mean since the row before, and counts by how much of the stretch it covers. One of more
    than `LONGEST` stretches says nothing about it.
    """
    total = weight = 0.0
    before = 0
    for row in rows:
        if "train/loss" not in row:
            continue
        first, before = before, row["nimg"]
        covered = min(before, end) - max(first, start)
        if curve in row and covered > 0 and before - first <= LONGEST * (end - start):
            total, weight = total + covered * row[curve], weight + covered
    return total / weight if weight else None


def cell_means(rows: Rows, curve: str, width: int) -> dict[int, float]:
    """Means over whole cells of `width` images, by the last image of each."""
    rows = [row for row in rows if "train/loss" in row]
    seen = max((row["nimg"] for row in rows), default=0)
    means = {end: mean_over(rows, curve, end - width, end) for end in range(width, seen + 1, width)}
    return {end: mean for end, mean in means.items() if mean is not None}
