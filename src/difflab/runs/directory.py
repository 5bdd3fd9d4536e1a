"""The run directory: the contract between training and everything that comes after it.

config.yaml            the resolved configuration
metrics.jsonl          one JSON object a line: nimg, wall_s and what was measured then
figures.jsonl          one JSON object a figure: nimg, its row in metrics.jsonl, value, error and protocol
checkpoints/last.ckpt  weights, average, optimiser, position
checkpoints/best.ckpt  the average with the best figure, if callbacks.best asks for it
checkpoints/snapshot-nimg=000012800.ckpt  averaged weights of the young run
checkpoints/power-nimg=000012800.ckpt  power-function averages, from which one of any length is made
codec.safetensors      of a run on latents: the autoencoder that makes and reads them
samples/               grids from fixed seeds, reverse.gif
result.json            the final figures, each with its protocol
model.safetensors      of a run that `difflab export` has written, in the place of checkpoints/: the average alone
sampler.yaml           the sampler that a sweep has chosen for it, which takes the place of config.yaml's (chosen.py)
wandb/                 the offline run
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from difflab.errors import DifflabError, near
from difflab.files import embedded_dir, replacing


@dataclass(frozen=True)
class Run:
    """A run directory, existing or about to be filled; `chosen` is a checkpoint in it other than the last one."""

    path: Path
    chosen: Path | None = None

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def best(self) -> Path:
        return self.path / "checkpoints" / "best.ckpt"

    @property
    def figures(self) -> Path:
        return self.path / "figures.jsonl"

    @property
    def codec(self) -> Path:
        return self.path / "codec.safetensors"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def model(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def ships(self) -> bool:
        """Whether it is a model that comes with difflab, whose folder is only read."""
        return self.path.resolve().is_relative_to(embedded_dir())

    @property
    def outputs(self) -> Path:
        """Where what is made with the run goes: itself; outputs/<name> for a model that comes with difflab."""
        return Path("outputs") / self.path.name if self.ships else self.path

    def output(self, kind: str, out: str | None) -> Path:
        """The folder that a command names by out=; where it names none, one of its own: <outputs>/<kind>/<time>."""
        return self.outputs / kind / now() if out is None else Path(out)

    def new_output(self, kind: str, out: str | None) -> Path:
        """The same for files whose number varies. Raises DifflabError for a folder that holds something."""
        return unused(self.output(kind, out))

    @property
    def sampler(self) -> Path:
        return self.path / "sampler.yaml"

    def write_config(self, cfg: DictConfig) -> None:
        with replacing(self.config) as temporary:
            temporary.write_text(OmegaConf.to_yaml(cfg, resolve=True))

    def read_config(self) -> DictConfig:
        """Raises DifflabError where there is none."""
        if not self.config.is_file():
            raise DifflabError(
                f"{self.path} is not a run: it has no config.yaml; name a folder that `difflab train` printed "
                "as its last line (runs/<experiment>/<time>)"
            )
        cfg = OmegaConf.load(self.config)
        assert isinstance(cfg, DictConfig)
        OmegaConf.set_struct(cfg, True)
        return cfg


def new_run(root: Path, experiment: str) -> Run:
    """The name of a fresh directory, runs/<experiment>/<YYYYmmdd-HHMMSS-ffffff>; nothing is made yet."""
    return Run(root / experiment / now())


def unused(folder: Path) -> Path:
    """The folder itself. Raises DifflabError where it holds something."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DifflabError(f"out={folder} holds something already: name an empty folder, or remove it")
    return folder


def now() -> str:
    """The name of what is made now, to a microsecond."""
    return f"{datetime.now():%Y%m%d-%H%M%S-%f}"


def find_run(name: str, key: str = "from") -> Run:
    """The run at a path: its directory, or a file in it; a checkpoint other than the last is the run's `chosen` one.

    Raises DifflabError where there is none, and for one to resume that is not the last.
    """
    path = run_path(name)
    if not path.exists():
        raise DifflabError(
            f"{key}={name}: there is no such run; `ls -d runs/*/*` lists what is here{_or_a_model(name)}"
        )
    if path.is_dir():
        return _trainable(Run(path), name) if key == "resume" else Run(path)
    run = Run(path.parent.parent if path.parent.name == "checkpoints" else path.parent)
    if path.suffix != ".ckpt" or path.name == run.checkpoint.name:
        return run
    if key == "resume":
        raise DifflabError(f"resume={name}: a run goes on from its last checkpoint only; write resume={run.path}")
    return Run(run.path, path)


def _trainable(run: Run, name: str) -> Run:
    if run.model.is_file() and not run.checkpoint.exists():
        raise DifflabError(
            f"resume={name}: an exported run holds its averaged weights alone, without an optimiser: train anew with "
            f"config={run.config}"
        )
    return run


def is_of_a_run(path: Path) -> bool:
    """Whether a path is a run's folder, a checkpoint, or a file beside a run's config.yaml."""
    if path.is_dir():
        return any((path / name).exists() for name in ("config.yaml", "checkpoints"))
    return path.suffix == ".ckpt" or (path.is_file() and (path.parent / "config.yaml").is_file())


def run_path(name: str) -> Path:
    """What a user names as a run: a path, or the name of a model that comes with difflab."""
    path, ships = user_path(name), _models() / name
    return ships if not path.exists() and (ships / "config.yaml").is_file() else path


def _models() -> Path:
    return embedded_dir() / "models"


def _or_a_model(name: str) -> str:
    known = sorted(path.parent.name for path in _models().glob("*/config.yaml"))
    return f"; {', '.join(known)} comes with difflab{near(name, known)}" if known else ""


def user_path(name: str) -> Path:
    """A path as a user writes it, with ~ and $VARIABLES."""
    return Path(os.path.expandvars(name)).expanduser()


def read_metrics(run: Run) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl; a last line cut by a crash is left out."""
    return read_rows(run.metrics)


def read_result(run: Run) -> dict[str, Any]:
    """result.json; empty where the run has not ended, or has gone on since.

    Raises DifflabError for a file that is damaged.
    """
    try:
        found = json.loads(run.result.read_text()) if run.result.is_file() else {}
    except ValueError as error:
        raise DifflabError(
            f"{run.result} can't be read ({type(error).__name__}): delete it, and `difflab train resume={run.path}` "
            "writes it again"
        ) from error
    return found if is_of_the_end(found, read_metrics(run)) else {}


def is_of_the_end(result: dict[str, Any], rows: Sequence[dict[str, Any]]) -> bool:
    """Whether a result is of the run as it is: one that was trained on has later rows."""
    nimg = result.get("nimg")
    return not isinstance(nimg, int) or nimg >= max((row["nimg"] for row in rows), default=0)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a file with one a line, none where there is no file; a last line cut by a crash is left out."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
