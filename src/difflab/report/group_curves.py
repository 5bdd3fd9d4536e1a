"""Curves of several runs over each other."""

from collections.abc import Iterator, Mapping, Sequence

from difflab.metrics.protocol import differences
from difflab.report.curves import (
    LEVEL,
    NAMES,
    direction,
    how,
    in_short,
    level,
    levels,
    names_of,
    of_one_protocol,
    series,
)
from difflab.report.draw import Look, Plot, Trace, images_seen, line, values
from difflab.report.gather import Measured
from difflab.report.groups import Group, Job
from difflab.report.points import Number, finite, running_mean

MOST_JOBS = 60  # lines that one plot can hold
SMOOTHED = 100  # points from which on only the running mean is drawn
CHANGE_THE_LOSS = ("prediction", "weighting", "objective", "times", "data", "coupling")
Looks = Mapping[int, Look]


def overlaid(group: Group) -> list[Plot]:
    """Curves of the runs over each other: the loss, what was measured while training, the error by noise level."""
    jobs = [job for job in group.jobs if job.found is not None and job.found.rows][:MOST_JOBS]
    rows = [dict.fromkeys(name for job in jobs if job.found for name in names_of(job.found.rows))]
    loss = [_overlaid("train/loss", jobs, group.looks, _warning(group))] if rows and "train/loss" in rows[0] else []
    by_level = [_overlaid(name, jobs, group.looks) for name in levels(rows)]
    return [
        plot
        for plot in [*loss, *_while_training(jobs, group.looks), *by_level]
        if any(len(t["x"]) > 1 for t in plot.traces)
    ]


def _warning(group: Group) -> str:
    other = [key for key in group.keys if key.split(".")[0] in CHANGE_THE_LOSS]
    return f"not comparable across {', '.join(other)}; the error by noise level is" if other else ""


def _overlaid(name: str, jobs: Sequence[Job], looks: Looks, note: str = "") -> Plot:
    traces = []
    for job in jobs:
        x, y = series(job.found.rows if job.found else [], name)
        smooth: Sequence[Number] = running_mean(y, len(y) // 25) if len(y) >= SMOOTHED else y
        if x:
            traces.append(line(job.label, x, smooth, looks[job.number], job=job.number))
    title = f"Error at {level(name)}" if name.startswith(LEVEL) else NAMES.get(name, name)
    every = [value for trace in traces for value in trace["y"]]
    return Plot(
        title, _in_words(title, traces), traces, images_seen(), values(every), note, layout={"showlegend": False}
    )


def _in_words(title: str, traces: Sequence[Trace]) -> str:
    last = {trace["name"]: trace["y"][-1] for trace in traces if trace["y"] and trace["y"][-1] is not None}
    return f"{title} over the images seen, last: {', '.join(f'{label} {y:.4g}' for label, y in last.items())}"


def _while_training(jobs: Sequence[Job], looks: Looks) -> Iterator[Plot]:
    """Figures measured while training: a plot for each row, and another where protocols differ."""
    found: dict[str, dict[int, list[Measured]]] = {}
    for job in jobs:
        measured = job.found.measured if job.found else []
        for row in dict.fromkeys(m.row for m in measured):
            *_, last = of_one_protocol([m for m in measured if m.row == row])
            found.setdefault(row, {})[job.number] = last
    for row, curves in found.items():
        for part in _comparable(curves):
            yield _measured(row, [job for job in jobs if job.number in part], looks, part)


def _comparable(curves: Mapping[int, list[Measured]]) -> Iterator[dict[int, list[Measured]]]:
    """Curves of jobs, apart where their protocols differ."""
    parts: list[dict[int, list[Measured]]] = []
    for number, curve in curves.items():
        fitting = (p for p in parts if not differences(next(iter(p.values()))[0].figure, curve[0].figure))
        part = next(fitting, None)
        if part is None:
            parts.append(part := {})
        part[number] = curve
    yield from parts


def _measured(row: str, jobs: Sequence[Job], looks: Looks, curves: Mapping[int, list[Measured]]) -> Plot:
    traces = []
    for job in jobs:
        curve = curves[job.number]
        y, errors = [finite(m.figure.value) for m in curve], [finite(m.figure.error) for m in curve]
        traces.append(line(job.label, [m.nimg for m in curve], y, looks[job.number], errors, job.number))
    first = curves[jobs[0].number][0].figure
    kind = "Proxy" if row.startswith("proxy/") else "Figure"
    title = f"{kind}: {row.partition('/')[2]}"
    note = f"{direction(first.name)}; {in_short(first)}"
    return Plot(
        title, _in_words(title, traces), traces, images_seen(), values(), note, how(first), {"showlegend": False}
    )
