"""The pieces of a plot, as plotly.js reads them. A colour is a name of style.css, so that it follows the dark mode.

`--0` to `--6` are Okabe and Ito's colours; `mix:0.3` is 0.3 of the way from the colour of noise to that of signal.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from difflab.bands.comparable import BandCurve
from difflab.report.points import Number, finite, rounded, running_mean, thinned

Trace = dict[str, Any]
COLORS = tuple(f"--{i}" for i in range(7))
DASHES = ("solid", "dash", "dot", "dashdot")
SIGNAL, NOISE, MEASURED = COLORS[:3]
POINTS = 60  # of a line whose points are marked


@dataclass(frozen=True)
class Look:
    """Of a line."""

    color: str
    dash: str = "solid"
    width: int | float = 2
    opacity: int | float = 1


FIRST = Look(SIGNAL)


def look_of(number: int) -> Look:
    """That by which a job is known in every plot: 28 that differ."""
    return Look(COLORS[number % len(COLORS)], DASHES[number // len(COLORS) % len(DASHES)])


@dataclass(frozen=True)
class Plot:
    """A plot with its words: `description` is read to those who don't see it, `protocol` is folded."""

    title: str
    description: str
    traces: list[Trace]
    x: dict[str, Any]
    y: dict[str, Any]
    note: str = ""
    protocol: str = ""
    layout: dict[str, Any] = field(default_factory=dict)

    @property
    def spec(self) -> dict[str, Any]:
        """What the page hands to plotly.js."""
        return {"data": self.traces, "layout": {"xaxis": self.x, "yaxis": self.y, **self.layout}}


def images_seen() -> dict[str, Any]:
    """The axis of all curves."""
    return {"title": {"text": "images seen"}, "tickformat": "~s", "hoverformat": ",d"}


def values(numbers: Iterable[Number] = ()) -> dict[str, Any]:
    """The axis of values: logarithmic where all are positive and the largest is more than 8 times the smallest."""
    known = [value for value in numbers if value is not None]
    if not known or min(known) <= 0 or max(known) <= 8 * min(known):
        return {"type": "linear", "hoverformat": ".4~g"}
    ticks = log_ticks(min(known), max(known))
    return {"type": "log", "hoverformat": ".4~g", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def log_ticks(low: int | float, high: int | float) -> list[float]:
    """Powers of ten about [low, high]; 2 and 5 times them as well where the range is short."""
    steps = (1, 2, 5) if high < 150 * low else (1,)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [float(f"{step}e{exponent}") for exponent in exponents for step in steps]


def line(
    name: str,
    x: Sequence[Any],
    y: Sequence[Number],
    look: Look = FIRST,
    errors: Sequence[Number] | None = None,
    job: int | None = None,
    legend: bool = True,
) -> Trace:
    """A curve, with a point at each value where there are few, and error bars where they are known.

    job: the number by which the page's legend shows and hides it.
    """
    kept = thinned(y)
    trace: Trace = {
        "type": "scatter", "name": name, "x": [x[i] for i in kept], "y": [rounded(y[i]) for i in kept],
        "mode": "lines+markers" if len(kept) <= POINTS else "lines",
        "line": {"color": look.color, "width": look.width, "dash": look.dash},
        "marker": {"color": look.color, "size": 5}, "opacity": look.opacity, "showlegend": legend, "meta": {"job": job},
    }  # fmt: skip
    if errors is not None and any(errors):
        bars = [rounded(errors[i]) for i in kept]
        trace["error_y"] = {"type": "data", "array": bars, "color": look.color, "thickness": 1.2, "width": 3}
    return trace


def smoothed(name: str, x: Sequence[Any], y: Sequence[Number]) -> list[Trace]:
    """A curve that jumps, faint, below its running mean."""
    window = len(y) // 25
    faint = line(name, x, y, Look(FIRST.color, width=1, opacity=0.35), legend=False)
    return [faint, line(f"mean of {window}", x, running_mean(y, window))]


def shaded(curve: BandCurve, name: str = "reference runs") -> list[Trace]:
    """A band between two curves; points that are not finite are left out."""
    points = zip(curve.nimg, curve.low, curve.high, strict=True)
    known = [point for point in points if all(finite(value) is not None for value in point)]
    x, low, high = ([rounded(point[i]) for point in known] for i in range(3))
    edge: Trace = {
        "type": "scatter", "mode": "lines", "x": x, "line": {"width": 0, "color": MEASURED}, "hoverinfo": "skip",
    }  # fmt: skip
    return [
        {**edge, "y": low, "showlegend": False, "name": name},
        {**edge, "y": high, "showlegend": True, "name": name, "fill": "tonexty", "fillcolor": f"{MEASURED}/0.18"},
    ]
