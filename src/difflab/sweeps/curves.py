"""The figures of a sweep as plots: one a figure, in it a line for each combination of the other swept keys."""

from collections.abc import Sequence

from difflab.errors import DifflabError
from difflab.metrics.directions import higher_is_better
from difflab.metrics.protocol import Figure, differences, in_words
from difflab.pictures.against import Level, Line, Plot, Point
from difflab.scoring.comparison import is_floor
from difflab.sweeps.axis import place
from difflab.sweeps.folder import Job, named
from difflab.sweeps.table import Row


def plots(x: str, rows: Sequence[Row]) -> list[Plot]:
    """What has no number on the axis, such as weights=ema, is a level across it.

    Raises DifflabError where figures are of different protocols, which are not drawn in one plot.
    """
    names = dict.fromkeys(figure.name for row in rows for figure in row.figures)
    return [_plot(x, name, rows) for name in names]


def _plot(x: str, name: str, rows: Sequence[Row]) -> Plot:
    lines: dict[str, list[Point]] = {}
    levels = []
    made = [(row.job, figure) for row in rows for figure in row.figures if figure.name == name]
    of_samples = [(job, figure) for job, figure in made if not is_floor(figure)]
    for job, figure in of_samples:
        _check(of_samples[0][1], figure)
        at = place(x, job.overrides[x], figure)
        if at is None:
            levels.append(Level(job.name, figure.value))
        else:
            lines.setdefault(_others(x, job), []).append(Point(at, figure.value, figure.error or 0.0))
    levels += [Level("held-out real pictures", figure.value) for _, figure in made if is_floor(figure)][:1]
    return Plot(name, higher_is_better(name), [Line(label, sorted(points)) for label, points in lines.items()], levels)


def _others(x: str, job: Job) -> str:
    """What tells a line from the others."""
    return named({key: value for key, value in job.overrides.items() if key != x}) or "figure"


def _check(first: Figure, figure: Figure) -> None:
    if differing := differences(first, figure):
        raise DifflabError(f"figures of different protocols are not drawn together ({in_words(differing)})")
