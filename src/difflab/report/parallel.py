"""Parallel coordinates: the choices of each job, and the figure they lead to."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from difflab.metrics.directions import higher_is_better
from difflab.report.columns import Column, summary
from difflab.report.curves import direction
from difflab.report.draw import Look, Plot, Trace
from difflab.report.group_plots import scale_of
from difflab.report.groups import Group, Job
from difflab.report.points import number_of

APART = 0.07  # of the height of an axis: words closer than that would overlap


@dataclass(frozen=True)
class Axis:
    """The height of each job on an axis from 0 to 1, and words at some heights."""

    heights: list[int | float]
    ticks: dict[int | float, str]


def parallel(group: Group, column: Column) -> Plot:
    """A line a job through its choices to its figure, the best on top of the last axis."""
    jobs = [job for job in group.jobs if job.number in column.order]
    axes = [_axis([job.choices.get(key) for job in jobs]) for key in group.keys]
    axes.append(_axis([column.figures[job.number].value for job in jobs], higher_is_better(column.name)))
    traces = [
        _path(job, group.looks[job.number], [axis.heights[i] for axis in axes], job.number == column.best)
        for i, job in enumerate(jobs)
    ]
    marks = [mark for i, axis in enumerate(axes) for mark in _marks(i, axis.ticks, i == len(axes) - 1)]
    shapes = [{"type": "line", "x0": i, "x1": i, "y0": 0, "y1": 1, "layer": "below"} for i in range(len(axes))]
    names = [*group.keys, column.name]
    x = {"tickvals": list(range(len(names))), "ticktext": names, "side": "top", "showgrid": False,
         "range": [-0.35, len(names) - 0.55], "fixedrange": True}  # fmt: skip
    y = {"visible": False, "range": [-0.08, 1.08], "fixedrange": True}
    more = {"annotations": marks, "shapes": shapes, "showlegend": False, "hovermode": "closest"}
    note = f"{direction(column.name)}, the best at the top"
    return Plot("What leads where", summary(column, group), traces, x, y, note, column.alike.how, more)


def _axis(found: Sequence[Any], up: bool = True) -> Axis:
    """By size where all are numbers, else at even distances."""
    numbers = [number for value in found if (number := number_of(value)) is not None]
    return _by_size(numbers, up) if len(numbers) == len(found) else _even([str(value) for value in found])


def _by_size(numbers: Sequence[int | float], up: bool) -> Axis:
    sizes = [math.log(number) for number in numbers] if scale_of(numbers) == "log" else numbers
    low, high = min(sizes), max(sizes)
    shares = [(size - low) / (high - low) if high > low else 0.5 for size in sizes]
    heights = shares if up else [1 - share for share in shares]
    return Axis(heights, {height: f"{number:.4g}" for height, number in _apart(heights, numbers)})


def _apart(heights: Sequence[int | float], numbers: Sequence[int | float]) -> Iterator[tuple[int | float, int | float]]:
    """Those that can be read: the ends, and what lies far enough from the one above and the end below."""
    points = sorted(set(zip(heights, numbers, strict=True)), reverse=True)
    last, above = points[-1], 2.0
    for height, number in points:
        if (height, number) == last or (above - height >= APART <= height - last[0]):
            yield height, number
            above = height


def _even(words: Sequence[str]) -> Axis:
    order = list(dict.fromkeys(words))
    place = {word: i / (len(order) - 1) if len(order) > 1 else 0.5 for i, word in enumerate(order)}
    return Axis([place[word] for word in words], {height: word for word, height in place.items()})


def _path(job: Job, look: Look, heights: Sequence[int | float], best: bool) -> Trace:
    stroke = {"color": look.color, "dash": look.dash, "width": 4 if best else 1.8}
    return {
        "type": "scatter", "mode": "lines", "name": job.label, "x": list(range(len(heights))), "y": heights,
        "line": stroke, "opacity": 1 if best else 0.75, "meta": {"job": job.number}, "hoverinfo": "name",
    }  # fmt: skip


def _marks(place: int, ticks: Mapping[int | float, str], last: bool) -> Iterator[dict[str, Any]]:
    """Words outside of the lines where there is room."""
    side: dict[str, Any] = {"xanchor": "left", "xshift": 7} if last else {"xanchor": "right", "xshift": -7}
    for height, text in ticks.items():
        yield {"x": place, "y": height, "text": text, "showarrow": False, **side}
