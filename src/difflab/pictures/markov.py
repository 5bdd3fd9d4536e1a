"""The Markov chain beside the closed form: pictures of both, their moments and their shape."""

import math
from typing import TYPE_CHECKING, Any

from jaxtyping import UInt8
from torch import Tensor

from difflab.pictures import canvas
from difflab.pictures.canvas import INK, LINE, MARGIN, SIZE, Sheet, describe, scaling_note, shown
from difflab.pictures.moments import BINS, WAYS, Both, both_ways, farthest, histogram, moments
from difflab.pictures.subject import Page, Subject
from difflab.pictures.table import Room, Row, table

if TYPE_CHECKING:
    import matplotlib.axes

COLORS = {"chain": canvas.MEASURED, "jump": canvas.NOISE}
MARKS = {"chain": "o", "jump": "x"}
WORDS = {"chain": "Markov chain", "jump": "one jump"}


def draw(subject: Subject) -> Page:
    x0, at, levels = subject.x0, [], []
    for both in both_ways(subject):
        levels.append(both.level.numbers() | moments(both, x0))
        if both.level.step in subject.at:
            at.append(both)
    middle = at[len(at) // 2]
    shapes = {way: histogram(getattr(middle, way), x0, middle.level).tolist() for way in WAYS}
    numbers = {
        "values": x0.numel(),
        "levels": levels,
        "farthest": farthest(levels),
        "histogram": {"step": middle.level.step, "edges": BINS.tolist(), **shapes},
    }
    return Page(_page(subject, at, numbers), [], numbers)


def _page(subject: Subject, at: list[Both], numbers: dict[str, Any]) -> UInt8[Tensor, "3 h w"]:
    rows = [Row(WORDS[way], [shown(getattr(both, way)[:1], both.level)[0] for both in at]) for way in WAYS]
    title = f"{subject.ladder.last:,} small steps end where one jump does"
    below = f"one picture both ways; below, all pixels of {len(subject.x0)} pictures at every level"
    heads = [describe(both.level) for both in at]
    sheet, y = table(title, below, heads, rows, Room(left=150, right=WIDE + MARGIN, below=420))
    _formulas(sheet, at, numbers)
    width = (sheet.width - 2 * MARGIN - 2 * 90 - 60) // 3
    boxes = [(MARGIN + 60 + i * (width + 90), y + 70, width, 280) for i in range(3)]
    _curves(sheet.axes(*boxes[0], "mean of x_t", "t"), "mean", numbers["levels"])
    variance = sheet.axes(*boxes[1], "variance of x_t", "t")
    _curves(variance, "var", numbers["levels"])
    variance.legend(fontsize=SIZE - 2, frameon=False, labelcolor=INK)  # for both
    step = numbers["histogram"]["step"]
    _shapes(sheet.axes(*boxes[2], f"(x_t - alpha x0) / sigma at step {step}", "standard deviations"), numbers)
    return sheet.render()


WIDE = 640  # pixels of the formulas


def _formulas(sheet: Sheet, at: list[Both], numbers: dict[str, Any]) -> None:
    """The two ways, on the right of the pictures."""
    words = (
        "Markov chain: each state from the one before,",
        "x_t = keep x_before + sqrt(sigma^2 - (keep sigma_before)^2) z",
        "where keep = alpha / alpha_before and z is fresh noise",
        "",
        "one jump: from the picture itself,",
        "x_t = alpha x0 + sigma eps",
        "",
        f"Of the {4 * len(numbers['levels'])} moments below the farthest from its",
        f"closed form is {numbers['farthest']:.1f} standard errors away",
        "",
        scaling_note([both.level for both in at]),
    )
    for i, line in enumerate(words):
        sheet.text(sheet.width - WIDE, 130 + i * LINE, line, color=canvas.QUIET, size=SIZE - 1)


def _curves(ax: "matplotlib.axes.Axes", key: str, levels: list[dict[str, Any]]) -> None:
    """A moment over t, with error bars of two standard errors."""
    t = [level["t"] for level in levels]
    ax.plot(t, [level[f"closed_{key}"] for level in levels], color=INK, linewidth=1.5, label="closed form")
    errors = [2 * level[f"{key}_error"] for level in levels]
    for way in WAYS:
        style: dict[str, Any] = {
            "fmt": MARKS[way],
            "color": COLORS[way],
            "label": WORDS[way],
            "markersize": 6,
            "linewidth": 1.2,
        }
        ax.errorbar(t, [level[f"{way}_{key}"] for level in levels], errors, **style)
    if key == "var" and max(level["closed_var"] for level in levels) > 10:
        ax.set_yscale("log")


def _shapes(ax: "matplotlib.axes.Axes", numbers: dict[str, Any]) -> None:
    shapes, edges = numbers["histogram"], BINS.tolist()
    normal = [math.exp(-(e**2) / 2) / math.sqrt(2 * math.pi) for e in edges]
    ax.stairs(shapes["chain"], edges, fill=True, color=COLORS["chain"], alpha=0.35, label=WORDS["chain"])
    ax.stairs(shapes["jump"], edges, color=COLORS["jump"], linewidth=1.5, label=WORDS["jump"])
    ax.plot(edges, normal, color=INK, linewidth=1.5, label="normal")
    ax.set_ylim(0, 0.62)
    ax.legend(fontsize=SIZE - 2, frameon=False, labelcolor=INK)
