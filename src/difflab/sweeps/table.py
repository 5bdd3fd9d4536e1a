"""What came of a sweep, for the terminal: a row a job."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from difflab.files import read_json
from difflab.metrics.protocol import Figure
from difflab.scoring.comparison import console
from difflab.sweeps.folder import Job


@dataclass(frozen=True)
class Row:
    """A job and its figures."""

    job: Job
    figures: list[Figure]


def row_of(job: Job) -> Row:
    """The job with what its result.json holds."""
    path = job.path / "result.json"
    return Row(job, [Figure.from_json(each) for each in read_json(path)["figures"]] if path.exists() else [])


def show(jobs: Iterable[Job], title: str) -> None:
    """Number, overrides, state, the main figure (the first of the result) and seconds."""
    rows = [row_of(job) for job in jobs]
    main = next((row.figures[0].name for row in rows if row.figures), None)
    table = Table(title=escape(title), title_justify="left")
    for column in ("job", "overrides", "state", main or "figure", "seconds"):
        table.add_column(column, justify="left" if column in ("overrides", "state") else "right")
    for row in rows:
        status = row.job.read_status()
        state = status.state + (f": {status.message}" if status.message else "")
        seconds = "" if status.seconds is None else f"{status.seconds:,.0f}"
        table.add_row(f"{row.job.number:03d}", escape(row.job.name), escape(state), _figure(row, main), seconds)
    console().print(table)


def _figure(row: Row, main: str | None) -> str:
    found = next((figure for figure in row.figures if figure.name == main), None)
    if found is None:
        return ""
    return f"{found.value:.4g}" + ("" if found.error is None else f" ± {found.error:.2g}")
