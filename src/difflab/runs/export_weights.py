"""The best averaged weights of a run as one safetensors file that says what it is."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from difflab.files import file_digest, replacing
from difflab.runs.directory import Run
from difflab.runs.weights import load_denoiser


def export_weights(run: Run, path: Path, half: bool = False) -> dict[str, str]:
    """Write the average of best.ckpt, else of the last checkpoint, as trained; returns the file's metadata.

    half: in half precision, which takes half of the space.

    The names are those of the denoiser. The metadata: experiment, config_sha256 of the run's config.yaml, nimg, and the
    figure of these weights with its protocol, as JSON ("null" where none was measured).
    """
    denoiser, checkpoint = load_denoiser(Run(run.path, run.best) if run.best.is_file() else run)
    about = _about(run, checkpoint)
    tensors = {name: _stored(tensor, half) for name, tensor in denoiser.state_dict().items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, about)
    return about


def _stored(tensor: Tensor, half: bool) -> Tensor:
    return (tensor.half() if half and tensor.dtype == torch.float32 else tensor).contiguous()


def _about(run: Run, checkpoint: dict[str, Any]) -> dict[str, str]:
    figure = dict(checkpoint.get("figure") or _final_figure(run))
    protocol = figure.pop("protocol", None)
    return {
        "experiment": str(run.read_config().name),
        "config_sha256": file_digest(run.config),
        "nimg": str(checkpoint["nimg"]),
        "figure": json.dumps(figure or None),
        "protocol": json.dumps(protocol),
    }


def _final_figure(run: Run) -> dict[str, Any]:
    """The first of the end: a run without best.ckpt has its last weights scored."""
    figures = json.loads(run.result.read_text())["figures"] if run.result.is_file() else []
    return figures[0] if figures else {}
