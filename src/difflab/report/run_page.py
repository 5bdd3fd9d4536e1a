"""The page of one run."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path

from omegaconf import OmegaConf

from difflab.bands.verdict import Verdict
from difflab.metrics.protocol import by_samples
from difflab.report import curves, pictures
from difflab.report.gather import Found
from difflab.report.origin import origin
from difflab.report.page import Fact, error_of, number, rendered
from difflab.report.points import finite
from difflab.report.table import duration


def run_page(found: Found, beside: Path, bands: curves.Bands | None = None, verdict: Verdict | None = None) -> str:
    """A run's report, to be put into the folder `beside`; `bands`: where reference runs were, by row."""
    bands = bands or {}
    return rendered(
        "run.html.j2",
        beside,
        title=str(found.cfg.get("name", found.run.path.name)),
        found=found,
        origin=origin(found.cfg, _place(found)),
        facts=_facts(found),
        about=_about(found),
        main=found.figures[0] if found.figures else None,
        in_short=curves.in_short,
        verdict=verdict,
        together=by_samples(found.figures),
        grids=pictures.grids(found.grids),
        film=pictures.film(found.film),
        training=curves.training(found, bands),
        by_level=curves.by_level(found, bands),
        figures=curves.figures(found, bands),
        config=OmegaConf.to_container(found.cfg),
        findings=[(finding, pictures.picture(finding.picture)) for finding in found.findings],
    )


def _about(found: Found) -> str:
    """Where it lies, when it began and of which code it is."""
    parts = [str(_place(found))]
    with suppress(ValueError):
        began = datetime.strptime(found.run.path.name, "%Y%m%d-%H%M%S-%f")
        parts.append(f"{began.day} {began:%B %Y, %H:%M}")
    if commit := found.result.get("git"):
        parts.append(f"git {short(commit)}")
    return " · ".join(parts)


def _place(found: Found) -> Path:
    """An exported run's page goes along with it, to where its place here says nothing."""
    return Path(found.run.path.name) if found.is_exported else found.run.path


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
