"""A figure against the length of the average it is measured with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jaxtyping import UInt8
from torch import Tensor

from difflab.pictures.canvas import INK, MARGIN, MEASURED, NOISE, SIGNAL, SIZE, Sheet, width_of

if TYPE_CHECKING:
    import matplotlib.axes

WIDTH, HEIGHT, GAP = 560, 340, 110


@dataclass(frozen=True)
class Curve:
    """A figure of averages of `lengths` (shares of the run), and that of the run's own average, of `own_length`.

    Errors are standard errors, None where they are not known; `higher`: whether a higher figure is the better one.
    """

    name: str
    lengths: Sequence[float]
    values: Sequence[float]
    errors: Sequence[float | None]
    own_length: float
    own: float
    own_error: float | None
    higher: bool

    @property
    def _best(self) -> int:
        """The first of equals."""
        return self.values.index((max if self.higher else min)(self.values))

    @property
    def best(self) -> float:
        """The length with the best figure."""
        return self.lengths[self._best]

    @property
    def at_best(self) -> tuple[float, float | None]:
        """The best figure with its error."""
        return self.values[self._best], self.errors[self._best]

    @property
    def within_one_error(self) -> list[float]:
        """The other lengths whose figure is within the best one's standard error."""
        value, error = self.at_best
        near = (abs(v - value) <= (error or 0.0) for v in self.values)
        return [length for length, is_near in zip(self.lengths, near, strict=True) if is_near and length != self.best]

    @property
    def own_is_near(self) -> bool:
        """Whether the run's own average is within the best one's standard error."""
        value, error = self.at_best
        return abs(self.own - value) <= (error or 0.0)

    @property
    def beats_own(self) -> bool:
        """Whether the best is better than the run's own average."""
        return self.at_best[0] > self.own if self.higher else self.at_best[0] < self.own


def page(curves: Sequence[Curve], below: str) -> UInt8[Tensor, "3 h w"]:
    """One plot a figure, at most three in a row."""
    columns, rows = min(3, len(curves)), -(-len(curves) // 3)
    words = "Figures against EMA length"
    width = max(MARGIN + columns * (WIDTH + GAP) + 40, width_of(words, below))
    sheet = Sheet(width, 130 + rows * (HEIGHT + GAP))
    sheet.title(words, below)
    for i, curve in enumerate(curves):
        x, y = MARGIN + 70 + i % 3 * (WIDTH + GAP), 140 + i // 3 * (HEIGHT + GAP)
        direction = "higher" if curve.higher else "lower"
        ax = sheet.axes(
            x,
            y,
            WIDTH,
            HEIGHT,
            f"{curve.name}, {direction} is better: best at {curve.best:g}",
            "EMA length, share of the run",
        )
        _plot(ax, curve)
    return sheet.render()


def _plot(ax: "matplotlib.axes.Axes", curve: Curve) -> None:
    _with_errors(ax, curve.lengths, curve.values, curve.errors, SIGNAL, "power function")
    value, _ = curve.at_best
    ax.plot([curve.best], [value], "o", color="none", markeredgecolor=MEASURED, markeredgewidth=3, markersize=17)
    ax.axhline(curve.own, color=NOISE, linewidth=1.8, linestyle="--")
    _with_errors(ax, [curve.own_length], [curve.own], [curve.own_error], NOISE, "the run's own average (ema)")
    ax.margins(x=0.08, y=0.2)
    ax.legend(fontsize=SIZE - 3, frameon=False, labelcolor=INK)


def _with_errors(
    ax: "matplotlib.axes.Axes",
    x: Sequence[float],
    y: Sequence[float],
    errors: Sequence[float | None],
    color: str,
    label: str,
) -> None:
    bars = [error or 0.0 for error in errors]
    ax.errorbar(x, y, yerr=bars, color=color, linewidth=2.5, elinewidth=1.6, capsize=5, marker="o", label=label)
