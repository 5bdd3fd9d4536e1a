"""The run directory: the contract between training and everything that comes after it.

config.yaml            the resolved configuration
metrics.jsonl          one JSON object a line: nimg, wall_s and what was measured then
checkpoints/last.ckpt  weights, average, optimiser, position
checkpoints/snapshot-nimg=000012800.ckpt  averaged weights of the young run
samples/               grids from fixed seeds, reverse.gif
result.json            the final figures, each with its protocol
wandb/                 the offline run
"""

import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from difflab.errors import DifflabError
from difflab.files import replacing


@dataclass(frozen=True)
class Run:
    """A run directory, existing or about to be filled."""

    path: Path

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
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

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
    return Run(root / experiment / datetime.now().strftime("%Y%m%d-%H%M%S-%f"))


def find_run(name: str, key: str = "from") -> Run:
    """The run at a path: its directory, or a file in it such as its checkpoint."""
    path = Path(os.path.expandvars(name)).expanduser()
    if not path.exists():
        raise DifflabError(f"{key}={name}: there is no such run; `ls -d runs/*/*` lists what is here")
    if path.is_file():
        path = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    return Run(path)


def read_metrics(run: Run) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl; a last line cut by a crash is left out."""
    rows = []
    for line in run.metrics.read_text().splitlines() if run.metrics.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
