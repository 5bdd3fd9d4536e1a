"""Which of several evaluations to take: the cheapest that is as good as the best one."""

import math
from collections.abc import Sequence

from difflab.callbacks.best import HIGHER
from difflab.errors import DifflabError
from difflab.metrics.protocol import Figure, differences, in_words

RISING = tuple(name for name, higher in HIGHER.items() if higher)


def rises(name: str) -> bool:
    """Whether a higher figure of this name is the better one."""
    return name.startswith(RISING)


def best(figures: Sequence[Figure]) -> int:
    """Which is the best of figures of one name; the first of equals.

    Raises DifflabError where none is finite, or they are of different protocols, which are never compared.
    """
    finite = [i for i, figure in enumerate(figures) if math.isfinite(figure.value)]
    if not finite:
        raise DifflabError("no job has a figure that is a number")
    for figure in figures:
        if differing := differences(figures[0], figure):
            raise DifflabError(f"figures of different protocols are not compared ({in_words(differing)})")
    return (max if rises(figures[0].name) else min)(finite, key=lambda i: figures[i].value)


def cheapest(figures: Sequence[Figure]) -> int:
    """Which takes the fewest evaluations of those within one standard error, of the difference, of the best.

    The nearest of several; a number of evaluations that is not known counts as more than any. Raises DifflabError as
    `best` does.
    """
    top = figures[best(figures)]
    near = [i for i, figure in enumerate(figures) if _gap(figure, top) <= _error_of_difference(figure, top)]
    return min(near, key=lambda i: (_nfe(figures[i]), _gap(figures[i], top)))


def _gap(figure: Figure, top: Figure) -> float:
    return abs(figure.value - top.value)


def _error_of_difference(figure: Figure, top: Figure) -> float:
    """Of two independent sets of samples; 0 where their errors are not known."""
    return math.hypot(figure.error or 0.0, top.error or 0.0)


def _nfe(figure: Figure) -> float:
    nfe = figure.protocol.get("nfe")
    return float(nfe) if isinstance(nfe, int) else math.inf
