"""Figures beside another's: how far apart in standard errors, and whether they may be compared at all."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from difflab.errors import DifflabError
from difflab.metrics.protocol import Entry, Figure, differences, in_words
from difflab.runs.directory import find_run, is_of_a_run, run_path

WIDTH = 150  # where no terminal says how wide it is


@dataclass(frozen=True)
class Pair:
    """One figure here and there."""

    here: Figure
    there: Figure

    @property
    def differing(self) -> dict[str, tuple[Entry, Entry]]:
        """Why they are not comparable; empty where they are."""
        return differences(self.here, self.there)

    @property
    def difference(self) -> float:
        return self.here.value - self.there.value

    @property
    def standard_errors(self) -> float | None:
        """The difference in units of its own standard error, the two sets of samples being independent."""
        if self.here.error is None or self.there.error is None:
            return None
        error = (self.here.error**2 + self.there.error**2) ** 0.5
        return self.difference / error if error else None


def figures_at(name: str) -> list[Figure]:
    """The samples' figures in a JSON file of `difflab evaluate` or a result.json, or the last ones of a run.

    Raises:
        DifflabError: there are none.
    """
    path = _file(name)
    try:
        found = json.loads(path.read_text())
        figures = [Figure.from_json(each) for each in (found["figures"] if isinstance(found, dict) else found)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DifflabError(
            f"against={name}: {path} holds no figures ({type(error).__name__}): name a run, its result.json or a file "
            "that `difflab evaluate` has written"
        ) from error
    return [figure for figure in figures if not is_floor(figure)]


def is_floor(figure: Figure) -> bool:
    """Whether it is a figure of held-out real pictures."""
    return figure.protocol.get("role") == "floor"


def pairs(here: Sequence[Figure], there: Sequence[Figure]) -> list[Pair]:
    """Figures of one name, in the order here."""
    others = {figure.name: figure for figure in there}
    return [Pair(figure, others[figure.name]) for figure in here if figure.name in others]


def refuse_other_protocols(found: Sequence[Pair], name: str) -> None:
    """Raises DifflabError for a pair that is not comparable, or where there is no pair."""
    if not found:
        raise DifflabError(f"against={name} has none of the figures here: use the same metrics and figures there")
    for pair in found:
        if pair.differing:
            raise DifflabError(
                f"{pair.here.name} here and in against={name} are of different protocols ({in_words(pair.differing)}): "
                "use the same ones, or strict=false to see both"
            )


def refuse_beforehand(shared: Mapping[str, Entry], there: Sequence[Figure], name: str) -> None:
    """Raises DifflabError where it is known before anything is scored that no figure will be comparable."""
    for figure in there:
        known = Figure(figure.name, 0.0, None, {key: figure.protocol.get(key) for key in shared})
        refuse_other_protocols([Pair(Figure(figure.name, 0.0, None, dict(shared)), known)], name)


def show(found: Sequence[Pair], name: str) -> None:
    """Print them as a table."""
    table = Table(title=f"here and {escape(name)}", title_justify="left")
    for column in ("figure", "here", "there", "difference", "standard errors", "comparable"):
        table.add_column(column, justify="left" if column in ("figure", "comparable") else "right")
    for pair in found:
        table.add_row(*_row(pair))
    console().print(table)


def console() -> Console:
    """For tables: wide enough where no terminal says how wide it is."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=WIDTH)


def _row(pair: Pair) -> tuple[str, ...]:
    apart = pair.standard_errors
    verdict = f"NO: {in_words(pair.differing)}" if pair.differing else "yes"
    return (
        pair.here.name,
        _value(pair.here),
        _value(pair.there),
        f"{pair.difference:+.4g}",
        "" if apart is None else f"{apart:+.1f}",
        escape(verdict),
    )


def _value(figure: Figure) -> str:
    return f"{figure.value:.4g}" + ("" if figure.error is None else f" ± {figure.error:.2g}")


def _file(name: str) -> Path:
    """A run's last evaluation, else its result.json; or the file itself."""
    path = run_path(name)
    if path.is_dir() and is_of_a_run(path):
        run = find_run(name, "against")
        written = sorted((run.outputs / "evaluations").glob("*.json"), key=lambda file: file.stat().st_mtime)
        return written[-1] if written else run.result
    return path
