"""What a search judges a run by: one figure, at its end and while it trains."""

from collections.abc import Sequence

from omegaconf import DictConfig

from difflab.errors import DifflabError
from difflab.files import read_json
from difflab.metrics.directions import HIGHER
from difflab.runs.directory import Run, read_rows
from difflab.sweeps.checks import Checked

_NAMES = {"fid": "fd", "fid_infinity": "fd_infinity"}  # what the paper's Inception calls them


def check_figure(cfg: DictConfig, jobs: Sequence[Checked]) -> None:
    """Raises DifflabError for a figure that does not exist, or that runs will not have."""
    if cfg.figure not in HIGHER:
        raise DifflabError(f"search.figure={cfg.figure}: it is one of {', '.join(HIGHER)}")
    if any(job.cfg is not None and job.cfg.metrics.extractor is None for job in jobs):
        raise DifflabError(f"search.figure={cfg.figure}: with metrics=none runs have no figures; name metrics")


def proxies(run: Run, figure: str) -> dict[int, float]:
    """The figure while training, by images seen."""
    rows = [row for row in read_rows(run.figures) if row["row"].startswith("proxy/")]
    return {row["nimg"]: row["value"] for row in rows if kind_of(row["name"]) == figure}


def final(run: Run, figure: str) -> float:
    """The figure at the end. Raises DifflabError where the run has not got it."""
    figures = read_json(run.result)["figures"]
    for found in figures:
        if kind_of(found["name"]) == figure:
            return float(found["value"])
    names = ", ".join(found["name"] for found in figures) or "none"
    raise DifflabError(f"search.figure={figure}: {run.path} has the figures {names}; name one of them")


def kind_of(name: str) -> str | None:
    """The figure's name without its extractor's: fd of fd_efficientnet_lite0."""
    kinds = [kind for kind in HIGHER if name == kind or name.startswith(f"{kind}_")]
    return _NAMES.get(name) or max(kinds, key=len, default=None)
