"""Figures against a number: a plot a figure, with error bars, and one legend for all."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

from jaxtyping import UInt8
from torch import Tensor

from difflab.pictures.canvas import INK, MARGIN, QUIET, SIZE, Sheet, width_of

if TYPE_CHECKING:
    import matplotlib.axes

WIDTH, HEIGHT, GAP = 520, 340, 110
COLUMNS = 3
LETTER = 13  # pixels of a wide letter of the legend
LOG = 5  # from this ratio of the largest to the smallest number on an axis is logarithmic
FEW = 8  # places that can each have a tick
# Okabe and Ito's, told apart by everybody; a second round of them is dashed.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1b1f24")
WORDS = {"nfe": "evaluations of the network a picture", "weights": "EMA length, share of the run"}
MARKERS = "osD^vPX"


class Point(NamedTuple):
    """A figure at x with its standard error, 0 where it is not known."""

    x: float
    value: float
    error: float


@dataclass(frozen=True)
class Line:
    """Points in the order of x."""

    label: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Level:
    """A figure that has no x."""

    label: str
    value: float


@dataclass(frozen=True)
class Plot:
    """All that is known of one figure. higher: whether a higher one is better."""

    name: str
    higher: bool
    lines: Sequence[Line]
    levels: Sequence[Level]


def page(plots: Sequence[Plot], x: str, title: str, below: str) -> UInt8[Tensor, "3 h w"]:
    """One plot a figure, at most COLUMNS in a row, and the legend beside them."""
    columns, rows = min(COLUMNS, len(plots)), -(-len(plots) // COLUMNS)
    labels = [*(line.label for line in plots[0].lines), *(level.label for level in plots[0].levels)]
    right = MARGIN + 70 + columns * (WIDTH + GAP) - GAP + 30
    width = max(right + 90 + LETTER * max(map(len, labels)), width_of(title, below))
    sheet = Sheet(width, max(130 + rows * (HEIGHT + GAP), 160 + 26 * len(labels)))
    sheet.title(title, below)
    for i, plot in enumerate(plots):
        corner = MARGIN + 70 + i % COLUMNS * (WIDTH + GAP), 140 + i // COLUMNS * (HEIGHT + GAP)
        words = f"{plot.name}, {'higher' if plot.higher else 'lower'} is better"
        ax = sheet.axes(*corner, WIDTH, HEIGHT, words, WORDS.get(x, x))
        _draw(ax, plot)
        if i == 0:
            _legend(sheet, ax, right)
    return sheet.render()


def _draw(ax: "matplotlib.axes.Axes", plot: Plot) -> None:
    styles = zip(cycle(COLORS), cycle(MARKERS), ["-"] * len(COLORS) + ["--"] * len(plot.lines), strict=False)
    for line, (color, marker, dashes) in zip(plot.lines, styles, strict=False):
        x, value, error = zip(*line.points, strict=True)
        ax.errorbar(
            x, value, yerr=error, color=color, marker=marker, linestyle=dashes, linewidth=2, markersize=6,
            elinewidth=1.4, capsize=4, label=line.label,
        )  # fmt: skip
    for level, dots in zip(plot.levels, cycle([":", "-.", "--"]), strict=False):
        ax.axhline(level.value, color=QUIET, linewidth=1.8, linestyle=dots, label=level.label)
    _scale(ax, plot)


def _scale(ax: "matplotlib.axes.Axes", plot: Plot) -> None:
    """Logarithmic where distances or places are far apart; ticks at the places that there are, where they are few."""
    from matplotlib.ticker import LogLocator

    places = sorted({point.x for line in plot.lines for point in line.points})
    if not plot.higher and _far_apart([point.value for line in plot.lines for point in line.points]):
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("")
    if _far_apart(places):
        ax.set_xscale("log")
        ax.minorticks_off()
    if len(places) <= FEW:
        ax.set_xticks(places, [f"{place:g}" for place in places])
    ax.margins(x=0.08, y=0.12)


def _far_apart(numbers: Sequence[float]) -> bool:
    return len(numbers) > 0 and min(numbers) > 0 and max(numbers) > LOG * min(numbers)


def _legend(sheet: Sheet, ax: "matplotlib.axes.Axes", right: int) -> None:
    handles, labels = ax.get_legend_handles_labels()
    corner = (right / sheet.width, 1 - 130 / sheet.height)
    sheet.figure.legend(
        handles, labels, loc="upper left", bbox_to_anchor=corner, fontsize=SIZE - 2, frameon=False, labelcolor=INK
    )
