"""From what was gathered to one HTML file that asks for nothing else."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from omegaconf import OmegaConf

from difflab.metrics.protocol import Figure, by_samples
from difflab.report import curves, group_curves, group_plots, pictures
from difflab.report.draw import Plot, look_of
from difflab.report.gather import Found, finite
from difflab.report.groups import Column, Group, Job, columns
from difflab.report.origin import origin
from difflab.report.plotly_js import packed
from difflab.report.table import duration, table_of

TEMPLATES = Path(__file__).parent / "templates"


class Verdict(Protocol):
    """How a run is going: state is "inside", "above", "below" or "unknown"."""

    state: str
    text: str


@dataclass(frozen=True)
class Fact:
    """A number of the headline."""

    name: str
    value: str
    note: str = ""


def run_page(found: Found, beside: Path, bands: curves.Bands | None = None, verdict: Verdict | None = None) -> str:
    """A run's report, to be put into the folder `beside`; `bands`: where reference runs were, by row."""
    bands = bands or {}
    film = found.film
    return _rendered(
        "run.html.j2",
        beside,
        title=str(found.cfg.get("name", found.run.path.name)),
        found=found,
        origin=origin(found.cfg, found.run.path),
        facts=_facts(found),
        about=_about(found),
        main=found.figures[0] if found.figures else None,
        in_short=curves.in_short,
        verdict=verdict,
        together=by_samples(found.figures),
        grids=pictures.grids(found.grids),
        film=pictures.film(film) if film else [],
        training=curves.training(found, bands),
        by_level=curves.by_level(found, bands),
        figures=curves.figures(found, bands),
        config=OmegaConf.to_container(found.cfg),
        findings=[(finding, _shown(finding.picture)) for finding in found.findings],
    )


def _shown(path: Path | None) -> pictures.Picture | None:
    return pictures.picture(path) if path else None


def _about(found: Found) -> str:
    """Where it lies, when it began and of which code it is."""
    parts = [str(found.run.path)]
    with suppress(ValueError):
        began = datetime.strptime(found.run.path.name, "%Y%m%d-%H%M%S-%f")
        parts.append(f"{began.day} {began:%B %Y, %H:%M}")
    if commit := found.result.get("git"):
        parts.append(f"git {short(commit)}")
    return " · ".join(parts)


def short(commit: str) -> str:
    """Its first digits, and whether files differed."""
    digits, dirty, _ = str(commit).partition("-dirty")
    return digits[:10] + dirty


def _facts(found: Found) -> list[Fact]:
    total = OmegaConf.select(found.cfg, "train.total_nimg")
    speed = finite(found.result.get("img_per_s"))
    facts = [Fact("images seen", f"{found.nimg:,}", f"of {total:,}" if total else "")]
    if found.figures:
        first = found.figures[0]
        facts.insert(0, Fact(first.name, number(first.value), error_of(first)))
    if found.wall_s is not None:
        facts.append(Fact("time", duration(found.wall_s), f"{speed:,.0f} images/s" if speed else ""))
    return facts


def group_page(group: Group, beside: Path) -> str:
    """A report of several runs or of a sweep, to be put into the folder `beside`."""
    found = columns(group.jobs)
    several = [column for column in found if len(column.figures) > 1]
    return _rendered(
        "group.html.j2",
        beside,
        title=group.title,
        group=group,
        facts=_group_facts(group),
        table=table_of(group, found),
        plots=[_of_column(group, column) for column in several],
        parallel=[group_plots.parallel(group, several[0])] if several and _is_wide(group, several[0]) else [],
        overlaid=group_curves.overlaid(group),
        swatches={job.number: look_of(job.number) for job in group.jobs},
        samples=[(job, pictures.picture(job.grid, pictures.GRID_SCALE)) for job in group.jobs if job.grid],
        apart=_sampled_apart(group.jobs),
    )


def _group_facts(group: Group) -> list[Fact]:
    states = [job.state for job in group.jobs]
    counted = {state: states.count(state) for state in dict.fromkeys(states)}
    done = counted.pop("finished", 0)
    rest = ", ".join(f"{n} {state}" for state, n in counted.items())
    spent = [job.seconds for job in group.jobs if job.seconds is not None]
    facts = [Fact("finished", f"{done} of {len(states)}", rest)]
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


def number(value: float) -> str:
    """Four digits, as everywhere; what is not finite is named."""
    return f"{value:.4g}"


def error_of(figure: Figure) -> str:
    error = finite(figure.error)
    return "" if error is None else f"± {error:.2g}"


def _rendered(template: str, beside: Path, **context: Any) -> str:
    def link(path: Path) -> str:
        return quote(os.path.relpath(path, beside))

    own = {"css": _text("style.css"), "js": _text("report.js"), "plotly": Markup(packed())}
    return _environment().get_template(template).render(version=version("difflab"), link=link, **own, **context)


@cache
def _environment() -> Environment:
    """Autoescape is on: settings, messages and names of files are anybody's text."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"number": number, "error": error_of, "json": _json}
    found.tests["mapping_of_settings"] = lambda value: isinstance(value, Mapping)
    return found


def _json(value: Any) -> Markup:
    """For a script element: no character in it can end the element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _text(name: str) -> Markup:
    """A file that comes with the package."""
    return Markup((TEMPLATES / name).read_text())
