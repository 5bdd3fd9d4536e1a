"""The page of several runs, or of a sweep."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import OmegaConf

from difflab.metrics.protocol import Figure
from difflab.report import group_curves, group_plots, pictures
from difflab.report.columns import Column, columns
from difflab.report.draw import Plot
from difflab.report.groups import Group, Job
from difflab.report.page import Fact, error_of, number, rendered
from difflab.report.parallel import parallel
from difflab.report.table import duration, table_of


def group_page(group: Group, beside: Path) -> str:
    """A report of several runs or of a sweep, to be put into the folder `beside`."""
    found = columns(group.jobs)
    several = [column for column in found if len(column.figures) > 1]
    return rendered(
        "group.html.j2",
        beside,
        title=group.title,
        group=group,
        facts=_group_facts(group, several),
        table=table_of(group, found),
        plots=[_of_column(group, column) for column in several],
        parallel=[parallel(group, several[0])] if several and _is_wide(group, several[0]) else [],
        overlaid=group_curves.overlaid(group),
        samples=_strips(group),
        apart=_sampled_apart(group.jobs),
    )


Tile = tuple[Job, str, pictures.Picture]  # a job, what is written below its grid, and the grid


def _strips(group: Group) -> list[tuple[str, list[Tile]]]:
    """Last grids: in one part, or in a row for each line of the plots, by what differs in it."""
    if group.x is None:
        rows = {"": [(job, job.label) for job in group.jobs]}
    else:
        rows = {n: [(job, f"{group.x}={job.choices.get(group.x)}") for job in part] for n, part in group.series.items()}
    found = {name: list(_tiles(row)) for name, row in rows.items()}
    return [(name, tiles) for name, tiles in found.items() if tiles]


def _tiles(row: Sequence[tuple[Job, str]]) -> Iterator[Tile]:
    for job, label in row:
        grid = pictures.picture(job.grid, pictures.GRID_SCALE)
        if grid is not None:
            yield job, label, grid


def _best(group: Group, column: Column, best: Figure) -> Fact:
    """With how many it is level: a difference below its error says nothing."""
    label = next(job.label for job in group.jobs if job.number == column.best)
    level = f"; {column.near} more within its error" if column.near else ""
    return Fact(f"best {best.name}", number(best.value), f"{error_of(best)} with {label}{level}")


def _group_facts(group: Group, found: Sequence[Column]) -> list[Fact]:
    states = [job.state for job in group.jobs]
    counted = {state: states.count(state) for state in dict.fromkeys(states)}
    done = counted.pop("finished", 0)
    rest = ", ".join(f"{n} {state}" for state, n in counted.items())
    spent = [job.seconds for job in group.jobs if job.seconds is not None]
    facts = [Fact("finished", f"{done} of {len(states)}", rest)]
    if found and found[0].best is not None:
        facts.insert(0, _best(group, found[0], found[0].figures[found[0].best]))
    return [*facts, Fact("time of all jobs", duration(sum(spent)))] if spent else facts


def _of_column(group: Group, column: Column) -> Plot:
    return (group_plots.dots if group.x is None else group_plots.against_x)(group, column)


def _is_wide(group: Group, column: Column) -> bool:
    """Whether parallel coordinates say more than the table."""
    return 2 <= len(group.keys) <= 8 and len(column.figures) > 2


def _sampled_apart(jobs: Sequence[Job]) -> str:
    """Why the grids of the runs do not show the same noise, where they do not."""
    settings = [OmegaConf.select(job.found.cfg, "callbacks.samples") for job in jobs if job.found]
    seeds = {(each.get("seed"), each.get("n")) for each in settings if each}
    return "" if len(seeds) < 2 else "These grids are of different seeds or numbers of samples."
