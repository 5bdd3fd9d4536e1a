"""Figures of several runs, against what was swept or job by job."""

from collections.abc import Sequence
from typing import Any

from difflab.metrics.protocol import Figure
from difflab.report.columns import Column, summary
from difflab.report.curves import direction, in_short
from difflab.report.draw import Plot, Trace, line, values
from difflab.report.groups import Group, Job
from difflab.report.points import finite, number_of


def against_x(group: Group, column: Column) -> Plot:
    """Figures against the key that sweep.json names, a line for every choice of the other keys."""
    assert group.x is not None
    jobs = [job for job in group.jobs if job.number in column.figures and group.x in job.choices]
    places = list(dict.fromkeys(job.choices[group.x] for job in jobs))
    numeric = all(number_of(place) is not None for place in places)
    lines = {name: [job for job in part if job in jobs] for name, part in group.series.items()}
    traces = [_against(name, part, column, group, numeric) for name, part in lines.items() if part]
    kind = scale_of([number_of(place) for place in places]) if numeric else "category"
    axis: dict[str, Any] = {"type": kind, "title": {"text": group.x}}
    if numeric and len(places) <= 12:
        ticks = sorted(number for place in places if (number := number_of(place)) is not None)
        axis |= {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
    return Plot(
        f"{column.title} against {group.x}",
        summary(column, group),
        traces,
        axis,
        values(),
        _note(column),
        column.alike.how,
    )


def _note(column: Column) -> str:
    return f"{direction(column.name)}; {column.note or in_short(column.alike)}"


def scale_of(numbers: Sequence[float | None]) -> str:
    """log for choices such as 4, 8, 16, 64."""
    known = [number for number in numbers if number is not None]
    return "log" if len(known) > 2 and min(known) > 0 and max(known) >= 8 * min(known) else "linear"


def _against(name: str, jobs: Sequence[Job], column: Column, group: Group, numeric: bool) -> Trace:
    points = [(job.choices.get(group.x or ""), column.figures[job.number]) for job in jobs]
    if numeric:
        points = sorted(((number_of(place), figure) for place, figure in points), key=lambda point: point[0] or 0.0)
    places = [place if numeric else str(place) for place, _ in points]
    y, errors = [finite(figure.value) for _, figure in points], [finite(figure.error) for _, figure in points]
    return line(name or column.name, places, y, group.looks[jobs[0].number], errors, legend=bool(name))


def dots(group: Group, column: Column) -> Plot:
    """Every job's figure with its error bar, the best on top."""
    labels = {job.number: job.brief for job in group.jobs}
    numbers = column.order[::-1]
    traces = [_dot(column.figures[n], labels[n], n, group.looks[n].color) for n in numbers]
    axis = {"type": "category", "automargin": True, "ticklabelstandoff": 6}
    height = {"height": 110 + 26 * len(numbers), "showlegend": False, "hovermode": "closest"}
    return Plot(column.title, summary(column, group), traces, values(), axis, _note(column), column.alike.how, height)


def _dot(figure: Figure, label: str, number: int, color: str) -> Trace:
    trace: Trace = {
        "type": "scatter", "mode": "markers", "name": label, "x": [figure.value], "y": [label],
        "marker": {"size": 9, "color": color}, "meta": {"job": number},
    }  # fmt: skip
    if (error := finite(figure.error)) is not None:
        trace["error_x"] = {"type": "data", "array": [error], "color": color, "thickness": 1.5, "width": 4}
    return trace
