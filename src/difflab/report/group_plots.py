"""Figures of several runs: against what was swept, job by job, and on parallel coordinates."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from difflab.metrics.directions import higher_is_better
from difflab.metrics.protocol import Figure
from difflab.report.curves import direction, how, in_short
from difflab.report.draw import Plot, Trace, line, look_of, values
from difflab.report.gather import finite
from difflab.report.groups import Column, Group, Job

MOST_TICKS = 8  # words at one of the parallel axes


def best_of(column: Column) -> int | None:
    """The job with the best figure."""
    known = {number: value for number, f in column.figures.items() if (value := finite(f.value)) is not None}
    if not known:
        return None
    return (max if higher_is_better(column.name) else min)(known, key=lambda number: known[number])


def ordered(column: Column) -> list[int]:
    """Jobs, the best first."""
    known = [number for number, figure in column.figures.items() if finite(figure.value) is not None]
    return sorted(known, key=lambda n: column.figures[n].value, reverse=higher_is_better(column.name))


def summary(column: Column, group: Group) -> str:
    """The plot of a column in words."""
    best = best_of(column)
    if best is None:
        return f"{column.name}: no finite value"
    label = next(job.label for job in group.jobs if job.number == best)
    count = f"{column.name} of {len(column.figures)} jobs, {direction(column.name)}"
    return f"{count}: best {_text(column.figures[best])} with {label}"


def _text(figure: Figure) -> str:
    return f"{figure.value:.4g}" + ("" if figure.error is None else f" ± {figure.error:.2g}")


def against_x(group: Group, column: Column) -> Plot:
    """Figures against the key that sweep.json names, a line for every choice of the other keys."""
    assert group.x is not None
    jobs = [job for job in group.jobs if job.number in column.figures and group.x in job.choices]
    places = list(dict.fromkeys(job.choices[group.x] for job in jobs))
    numeric = all(_number(place) is not None for place in places)
    traces = [
        _against(name, part, column, group.x, numeric, i) for i, (name, part) in enumerate(_by_others(jobs, group.x))
    ]
    kind = _kind([_number(place) for place in places]) if numeric else "category"
    axis: dict[str, Any] = {"type": kind, "title": {"text": group.x}}
    if numeric and len(places) <= 12:
        ticks = sorted(number for place in places if (number := _number(place)) is not None)
        axis |= {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
    return Plot(
        f"{column.name} against {group.x}", summary(column, group), traces, axis, values(), _note(column), _how(column)
    )


def _note(column: Column) -> str:
    return f"{direction(column.name)}; {column.note or in_short(next(iter(column.figures.values())))}"


def _how(column: Column) -> str:
    return how(next(iter(column.figures.values())))


def _kind(numbers: Sequence[float | None]) -> str:
    known = [number for number in numbers if number is not None]
    return "log" if len(known) > 2 and min(known) > 0 and max(known) >= 8 * min(known) else "linear"


def _by_others(jobs: Sequence[Job], x: str) -> Iterator[tuple[str, list[Job]]]:
    parts: dict[str, list[Job]] = {}
    for job in jobs:
        others = ", ".join(f"{key}={value}" for key, value in job.choices.items() if key != x)
        parts.setdefault(others, []).append(job)
    yield from parts.items()


def _against(name: str, jobs: Sequence[Job], column: Column, x: str, numeric: bool, i: int) -> Trace:
    if numeric:
        jobs = sorted(jobs, key=lambda job: _number(job.choices[x]) or 0.0)
    places = [_number(job.choices[x]) if numeric else str(job.choices[x]) for job in jobs]
    figures = [column.figures[job.number] for job in jobs]
    y, errors = [finite(f.value) for f in figures], [finite(f.error) for f in figures]
    return line(name or column.name, places, y, look_of(i), errors, legend=bool(name))


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def dots(group: Group, column: Column) -> Plot:
    """Every job's figure with its error bar, the best on top."""
    labels = {job.number: job.label for job in group.jobs}
    numbers = ordered(column)[::-1]
    traces = [_dot(column.figures[n], labels[n], n) for n in numbers]
    axis = {"type": "category", "automargin": True, "ticklabelstandoff": 6}
    height = {"height": 110 + 26 * len(numbers), "showlegend": False, "hovermode": "closest"}
    x = {**values(), "title": {"text": f"{column.name}, {direction(column.name)}"}}
    return Plot(column.name, summary(column, group), traces, x, axis, _note(column), _how(column), height)


def _dot(figure: Figure, label: str, number: int) -> Trace:
    color = look_of(number).color
    trace: Trace = {
        "type": "scatter", "mode": "markers", "name": label, "x": [figure.value], "y": [label],
        "marker": {"size": 9, "color": color}, "meta": {"job": number},
    }  # fmt: skip
    if (error := finite(figure.error)) is not None:
        trace["error_x"] = {"type": "data", "array": [error], "color": color, "thickness": 1.5, "width": 4}
    return trace


def parallel(group: Group, column: Column) -> Plot:
    """A line a job through its choices to its figure, the best on top of the last axis."""
    jobs = [job for job in group.jobs if job.number in ordered(column)]
    axes = [_axis(key, [job.choices.get(key) for job in jobs]) for key in group.keys]
    axes.append(_axis(column.name, [column.figures[job.number].value for job in jobs], higher_is_better(column.name)))
    best = best_of(column)
    traces = [_path(job, [axis[1][i] for axis in axes], job.number == best) for i, job in enumerate(jobs)]
    marks = [mark for i, (ticks, _) in enumerate(axes) for mark in _marks(i, ticks)]
    shapes = [{"type": "line", "x0": i, "x1": i, "y0": 0, "y1": 1, "layer": "below"} for i in range(len(axes))]
    names = [*group.keys, column.name]
    x = {"tickvals": list(range(len(names))), "ticktext": names, "side": "top", "showgrid": False,
         "range": [-0.35, len(names) - 0.55], "fixedrange": True}  # fmt: skip
    y = {"visible": False, "range": [-0.08, 1.08], "fixedrange": True}
    more = {"annotations": marks, "shapes": shapes, "showlegend": False, "hovermode": "closest"}
    note = f"{direction(column.name)}, the best at the top"
    return Plot("What leads where", summary(column, group), traces, x, y, note, _how(column), more)


def _axis(name: str, found: Sequence[Any], up: bool = True) -> tuple[dict[float, str], list[float]]:
    """Ticks by height, and the height of each value: by size where all are numbers, else even."""
    numbers = [_number(value) for value in found]
    known = [number for number in numbers if number is not None]
    if len(known) == len(found):
        low, high = min(known), max(known)
        heights = [(number - low) / (high - low) if high > low else 0.5 for number in known]
        heights = heights if up else [1 - height for height in heights]
        ticks = {height: f"{number:.4g}" for height, number in zip(heights, known, strict=True)}
        return (ticks if len(ticks) <= MOST_TICKS else {h: ticks[h] for h in (min(ticks), max(ticks))}), heights
    words = [str(value) for value in found]
    order = list(dict.fromkeys(words))
    place = {word: i / (len(order) - 1) if len(order) > 1 else 0.5 for i, word in enumerate(order)}
    return {place[word]: word for word in order}, [place[word] for word in words]


def _path(job: Job, heights: Sequence[float], best: bool) -> Trace:
    look = look_of(job.number)
    stroke = {"color": look.color, "dash": look.dash, "width": 4 if best else 1.8, "shape": "spline", "smoothing": 0.6}
    return {
        "type": "scatter", "mode": "lines", "name": job.label, "x": list(range(len(heights))), "y": heights,
        "line": stroke, "opacity": 1 if best else 0.75, "meta": {"job": job.number}, "hoverinfo": "name",
    }  # fmt: skip


def _marks(place: int, ticks: Mapping[float, str]) -> Iterator[dict[str, Any]]:
    for height, text in ticks.items():
        yield {"x": place, "y": height, "text": text, "showarrow": False, "xanchor": "right", "xshift": -6}
