"""result.json: the final figures, each with its protocol, and what made them."""

import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from difflab.files import write_json
from difflab.metrics.protocol import Figure
from difflab.tracking import Recorder

PACKAGES = (
    "difflab", "torch", "torchvision", "pytorch-lightning", "hydra-core", "omegaconf", "wandb", "torchmetrics",
    "torch-fidelity", "numpy",
)  # fmt: skip


def write_result(
    recorder: Recorder, figures: Sequence[Figure], nimg: int, img_per_s: float | None, more: Mapping[str, Any]
) -> dict[str, Any]:
    """Write and return the run's result; `img_per_s` is None where this session had nothing left to train."""
    result = {
        "figures": [figure.to_json() for figure in figures],
        "nimg": nimg,
        "wall_s": round(recorder.wall_s, 1),
        "img_per_s": img_per_s and round(img_per_s, 1),
        **more,
        **environment(),
    }
    write_json(recorder.run.result, result)
    return result


def environment() -> dict[str, Any]:
    """What code is at work: git, python and packages."""
    return {
        "git": git_commit(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def git_commit() -> str | None:
    """The commit of the working directory, "-dirty" behind it where files differ; None outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
