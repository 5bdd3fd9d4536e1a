"""Tables with a column a run, broken into several where the terminal is too narrow for all."""

from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from difflab.metrics.protocol import Figure, in_words
from difflab.scoring.comparison import Pair, console, pairs

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # what runs are called
WIDEST = 40  # of a value; a longer one is broken into lines
MARGINS = 3  # around a column


def show(title: str, lines: Mapping[str, Sequence[str]], runs: int, same: str) -> None:
    """Print `lines`, each of a value in every run; `same` is what to say where there are none."""
    if not lines:
        print(f"{title}: {same}")
        return
    out = console()
    names = max(map(len, lines))
    values = min(WIDEST, max(_width(value) for line in lines.values() for value in line))
    fitting = max(1, (out.width - names - 2 * MARGINS) // (values + MARGINS))
    for start in range(0, runs, fitting):
        columns = range(start, min(runs, start + fitting))
        table = Table(title=title, title_justify="left")
        table.add_column("")
        for i in columns:
            table.add_column(LETTERS[i], justify="right", overflow="fold")
        for name, line in lines.items():
            table.add_row(escape(name), *(escape(line[i]) for i in columns))
        out.print(table)


def show_figures(figures: Sequence[Sequence[Figure]]) -> None:
    """Values with errors, below them the difference to A in its standard errors; then what is not comparable."""
    names = dict.fromkeys(figure.name for own in figures for figure in own)
    found = [{pair.here.name: pair for pair in pairs(own, figures[0])} for own in figures]
    own = [{figure.name: figure for figure in each} for each in figures]
    lines = {
        name: [_value(own[i].get(name), found[i].get(name) if i else None) for i in range(len(own))] for name in names
    }
    show("figures (se: standard errors from A)", lines, len(figures), "none yet")
    for letter, of_run in zip(LETTERS, found, strict=False):
        for pair in of_run.values():
            if pair.differing:
                print(f"{pair.here.name} of {letter} and A do not compare: {in_words(pair.differing)}")


def _value(figure: Figure | None, to_first: Pair | None) -> str:
    if figure is None:
        return ""
    value = f"{figure.value:.4g}" + ("" if figure.error is None else f" ± {figure.error:.2g}")
    if to_first is None:
        return value
    if to_first.differing:
        return f"{value}\nnot comparable"
    apart = to_first.standard_errors
    return f"{value}\n{to_first.difference:+.4g}" + ("" if apart is None else f" ({apart:+.1f} se)")


def _width(value: str) -> int:
    return max(map(len, value.splitlines()), default=0)
