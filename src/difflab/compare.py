"""difflab compare: runs beside each other, in settings, code, training and figures; nothing is written."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from difflab.bands.row_means import mean_over
from difflab.comparing import tables as compare_tables
from difflab.comparing.settings import differing
from difflab.comparing.tables import LETTERS
from difflab.errors import DifflabError
from difflab.metrics.protocol import Figure
from difflab.runs.directory import Run, find_run, read_metrics, read_result
from difflab.scoring.comparison import figures_at

LAST = 10  # the error by noise level is a mean over the last tenth of the images


def main(cfg: DictConfig) -> None:
    """Print the tables. Raises DifflabError for fewer than two runs, and for what is no run."""
    compared = _opened(list(cfg.runs))
    for letter, each in zip(LETTERS, compared, strict=False):
        print(f"{letter}: {each}")
    settings = differing([each.cfg for each in compared])
    compare_tables.show("settings", settings, len(compared), "the same settings")
    compare_tables.show("code", code(compared), len(compared), "the same code and packages")
    compare_tables.show("training", training(compared), len(compared), "nothing is measured yet")
    compare_tables.show_figures([each.figures for each in compared])


@dataclass(frozen=True)
class Compared:
    """A run as far as it has come."""

    run: Run
    cfg: DictConfig

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        return read_metrics(self.run)

    @cached_property
    def result(self) -> dict[str, Any]:
        """result.json; empty where the run has not finished."""
        return read_result(self.run)

    @cached_property
    def figures(self) -> list[Figure]:
        """Its last evaluation's, else those of its end; none where it has neither."""
        if any((self.run.outputs / "evaluations").glob("*.json")):
            return figures_at(str(self.run.path))
        return figures_at(str(self.run.result)) if self.result else []

    @property
    def nimg(self) -> int:
        return max((row["nimg"] for row in self.rows), default=0)

    def __str__(self) -> str:
        images = f"{self.nimg:,} images, " if self.nimg else ""
        state = "finished" if self.result else "not finished"
        return f"{self.run.path} ({self.cfg.get('name', 'evaluated')}, {images}{state})"


def code(compared: Sequence[Compared]) -> dict[str, list[str]]:
    """Commit, Python and packages, where they differ."""
    each = [_code(run.result) for run in compared]
    names = dict.fromkeys(name for found in each for name in found)
    lines = {name: [found.get(name, "not known") for found in each] for name in names}
    return {name: values for name, values in lines.items() if len(set(values)) > 1}


def training(compared: Sequence[Compared]) -> dict[str, list[str]]:
    """Images seen, speed and time, and the error by noise level at the same number of images."""
    lines = {
        "images seen": [f"{run.nimg:,}" if run.nimg else "" for run in compared],
        "images/s": [_number(_speed(run)) for run in compared],
        "seconds": [_number(max((row["wall_s"] for row in run.rows), default=None)) for run in compared],
        "band": [run.result.get("band", {}).get("state", "") for run in compared],
    }
    end = min(run.nimg for run in compared)
    start = end - max(end // LAST, max(_longest_row(run) for run in compared))
    losses = dict.fromkeys(name for run in compared for row in run.rows for name in row if name.startswith("x0_mse/"))
    for name in losses:
        lines[name] = _beside_the_first([mean_over(run.rows, name, start, end) for run in compared])
    lines = {name: values for name, values in lines.items() if any(values)}
    return {(f"{name} at {end:,}" if name in losses else name): values for name, values in lines.items()}


def _opened(names: Sequence[str]) -> list[Compared]:
    if not 2 <= len(names) <= len(LETTERS):
        raise DifflabError(
            f"compare takes two to {len(LETTERS)} runs, here are {len(names)}: write `difflab compare RUN_A RUN_B`"
        )
    runs = [find_run(name, "compare") for name in names]
    if len({run.path.resolve() for run in runs}) < len(runs):
        raise DifflabError(f"compare {' '.join(names)}: one run is named twice; name different ones")
    return [Compared(run, _settings(run)) for run in runs]


def _settings(run: Run) -> DictConfig:
    """A run's configuration; of a job of `difflab evaluate -m`, which trains nothing, what its sweep gave it."""
    sweep = run.path.resolve().parents[1] / "sweep.json"
    if run.config.is_file() or not (run.result.is_file() and sweep.is_file()):
        return run.read_config()
    jobs = {Path(job["folder"]).name: job["overrides"] for job in json.loads(sweep.read_text())["jobs"]}
    return OmegaConf.create(jobs.get(run.path.name, {}))


def _code(result: dict[str, Any]) -> dict[str, str]:
    if not result:
        return {}
    commit = str(result["git"])
    short = commit[:10] + ("-dirty" if commit.endswith("-dirty") else "")
    return {"git": short, "python": result["python"], **result["packages"]}


def _speed(run: Compared) -> float | None:
    """Of the last session, or of its last rows where it has not finished."""
    logged = [row["speed/img_per_s"] for row in run.rows if "speed/img_per_s" in row]
    return run.result.get("img_per_s") or (logged[-1] if logged else None)


def _longest_row(run: Compared) -> int:
    """Images that a row of losses covers."""
    ends = [0, *(row["nimg"] for row in run.rows if "train/loss" in row)]
    return max((b - a for a, b in pairwise(ends)), default=0)


def _beside_the_first(values: Sequence[float | None]) -> list[str]:
    """Numbers, those after the first with their difference to it."""
    first, *others = values
    apart = [f" ({100 * (v / first - 1):+.1f} %)" if v is not None and first else "" for v in others]
    return [_number(first), *(_number(v) + how for v, how in zip(others, apart, strict=True))]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
