"""The numbers of a curve: which are known, which are drawn."""

import math
from collections.abc import Sequence
from typing import Any

Number = int | float | None
MOST = 1000  # points of a line: more can't be told apart on a screen


def finite(value: Any) -> float | None:
    """A number that can be drawn, or None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def thinned(y: Sequence[Number]) -> Sequence[int]:
    """The places of at most MOST points: the least and the greatest of each stretch, so that no peak is lost."""
    if len(y) <= MOST:
        return range(len(y))
    size = -(-2 * len(y) // MOST)
    kept: set[int] = {0, len(y) - 1}
    for start in range(0, len(y), size):
        known = [i for i in range(start, min(start + size, len(y))) if y[i] is not None]
        if known:
            kept |= {min(known, key=lambda i: y[i] or 0.0), max(known, key=lambda i: y[i] or 0.0)}
    return sorted(kept)


def running_mean(y: Sequence[Number], window: int) -> list[Number]:
    """The mean of `window` values around each; of those that are known."""
    out: list[Number] = []
    for i in range(len(y)):
        near = [value for value in y[max(0, i - window // 2) : i + window // 2 + 1] if value is not None]
        out.append(sum(near) / len(near) if near else None)
    return out


def rounded(value: Number) -> Number:
    """To five digits, which no screen shows more of."""
    if value is None or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.5g}")


def number_of(choice: Any) -> float | None:
    """A setting as a number, if it is one, also where it is written as text."""
    try:
        return None if isinstance(choice, bool) else finite(float(choice))
    except (TypeError, ValueError):
        return None
