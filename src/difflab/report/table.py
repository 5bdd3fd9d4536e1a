"""The sortable table of several runs: only what differs between them, and their figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from difflab.report.columns import Column
from difflab.report.curves import direction
from difflab.report.groups import Group, Job
from difflab.report.points import Number, finite, number_of


@dataclass(frozen=True)
class Head:
    """A column's name, and what it means."""

    text: str
    note: str = ""
    warning: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Cell:
    """`value` is what sorts; None comes last."""

    text: str
    value: Number | str
    error: str = ""
    best: bool = False


@dataclass(frozen=True)
class Line:
    job: Job
    cells: list[Cell]


@dataclass(frozen=True)
class Table:
    heads: list[Head]
    lines: list[Line]


def table_of(group: Group, columns: Sequence[Column]) -> Table:
    trained = any(job.found for job in group.jobs)
    heads = [
        *(Head(key, numeric=_all_numbers(group, key)) for key in group.keys),
        *(Head(column.title, f"{direction(column.name)}; {column.alike.how}", column.note) for column in columns),
        *([Head("images seen"), Head("images/s")] if trained else []),
        Head("time"),
    ]
    return Table(heads, [Line(job, _cells(group, job, columns, trained)) for job in group.jobs])


def _cells(group: Group, job: Job, columns: Sequence[Column], trained: bool) -> list[Cell]:
    cells = [_choice(job.choices.get(key)) for key in group.keys]
    cells += [_figure(column, job) for column in columns]
    if trained:
        speed = finite(job.found.result.get("img_per_s")) if job.found else None
        cells += [_count(job.nimg), Cell("" if speed is None else f"{speed:,.0f}", speed)]
    return [*cells, Cell(duration(job.seconds), job.seconds)]


def _all_numbers(group: Group, key: str) -> bool:
    return all(number_of(job.choices.get(key)) is not None for job in group.jobs)


def _choice(value: Any) -> Cell:
    size = number_of(value)
    return Cell("null" if value is None else str(value), str(value) if size is None else size)


def _count(n: int | None) -> Cell:
    return Cell("" if n is None else f"{n:,}", n)


def _figure(column: Column, job: Job) -> Cell:
    figure = column.figures.get(job.number)
    if figure is None:
        return Cell("", None)
    error = finite(figure.error)
    return Cell(
        f"{figure.value:.4g}",
        finite(figure.value),
        "" if error is None else f"± {error:.2g}",
        column.best == job.number,
    )


def duration(seconds: int | float | None) -> str:
    """`2 h 5 min`, `12 min 3 s` or `7.4 s`."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
