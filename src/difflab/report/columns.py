"""Figures of several jobs that may be compared."""

from collections.abc import Sequence
from dataclasses import dataclass

from difflab.metrics.directions import higher_is_better
from difflab.metrics.protocol import Entry, Figure, differences, in_words
from difflab.report.curves import direction
from difflab.report.groups import Group, Job
from difflab.report.points import finite


@dataclass(frozen=True)
class Column:
    """Figures of one name that may be compared, by the number of their job.

    Where others of the name are of another protocol, `apart` is what this one's has, and `note` says both.
    """

    name: str
    figures: dict[int, Figure]
    apart: str = ""
    note: str = ""

    @property
    def title(self) -> str:
        return f"{self.name} ({self.apart})" if self.apart else self.name

    @property
    def order(self) -> list[int]:
        """Jobs with a finite figure, the best first."""
        known = [number for number, figure in self.figures.items() if finite(figure.value) is not None]
        return sorted(known, key=lambda number: self.figures[number].value, reverse=higher_is_better(self.name))

    @property
    def best(self) -> int | None:
        """The best of several jobs."""
        return self.order[0] if len(self.order) > 1 else None

    @property
    def near(self) -> int:
        """How many others are within one standard error of the best."""
        if self.best is None:
            return 0
        best = self.figures[self.best]
        apart = (abs(self.figures[number].value - best.value) for number in self.order[1:])
        return sum(distance <= (finite(best.error) or 0.0) for distance in apart)

    @property
    def alike(self) -> Figure:
        """A figure whose protocol holds what all of them share."""
        first, *others = self.figures.values()
        shared = first.protocol.items()
        known: dict[str, Entry] = {k: v for k, v in shared if all(o.protocol.get(k) == v for o in others)}
        return Figure(self.name, first.value, None, known)


def summary(column: Column, group: Group) -> str:
    """A column in words."""
    if column.best is None:
        return f"{column.name}: nothing to compare"
    best = column.figures[column.best]
    label = next(job.label for job in group.jobs if job.number == column.best)
    error = "" if best.error is None else f" ± {best.error:.2g}"
    count = f"{column.name} of {len(column.figures)} jobs, {direction(column.name)}"
    return f"{count}: best {best.value:.4g}{error} with {label}"


def columns(jobs: Sequence[Job]) -> list[Column]:
    """Figures by name, those of other protocols in columns of their own."""
    found: dict[str, list[Column]] = {}
    for job in jobs:
        for figure in job.figures:
            _put(found.setdefault(figure.name, []), job.number, figure)
    return [column for of_a_name in found.values() for column in of_a_name]


def _put(of_a_name: list[Column], number: int, figure: Figure) -> None:
    for column in of_a_name:
        first = next(iter(column.figures.values()))
        if not differences(first, figure):
            column.figures.setdefault(number, figure)
            return
    if not of_a_name:
        of_a_name.append(Column(figure.name, {number: figure}))
        return
    other, first = next(iter(of_a_name[0].figures.items()))
    differing = differences(first, figure)
    apart = ", ".join(f"{key} {here}" for key, (_, here) in differing.items())
    note = f"{figure.name} is not comparable with that of job {other}: {in_words(differing)}"
    of_a_name.append(Column(figure.name, {number: figure}, apart, note))
