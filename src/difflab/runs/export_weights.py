"""The averaged weights of a run as one safetensors file that says what it is."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from difflab.denoiser import Denoiser
from difflab.files import file_digest, replacing
from difflab.runs.directory import Run, read_result
from difflab.runs.weights import load_denoiser


@dataclass(frozen=True)
class Exported:
    """The averaged weights of a run that are given away, as trained, and the figure that was measured of them."""

    run: Run
    denoiser: Denoiser
    nimg: int
    figure: dict[str, Any] | None

    @staticmethod
    def of(run: Run) -> "Exported":
        """Those of the checkpoint that is named, else of best.ckpt, else of the last one.

        Raises DifflabError where the run has none.
        """
        if run.chosen is None and run.best.is_file():
            run = Run(run.path, run.best)
        denoiser, checkpoint = load_denoiser(run)
        nimg = checkpoint["nimg"]
        return Exported(run, denoiser, nimg, checkpoint.get("figure") or _figure_at(run, nimg))

    @property
    def are_the_last(self) -> bool:
        """Whether they are those that the run ended with, or has come to."""
        last = self.run.chosen in (None, self.run.checkpoint)
        return last or read_result(self.run).get("nimg") == self.nimg

    def write(self, path: Path, config: Path, half: bool = False) -> dict[str, str]:
        """Write them, half: in half precision, which takes half of the space; returns the file's metadata.

        The names are those of the denoiser. The metadata: experiment, config_sha256 of `config`, nimg, and the figure
        with its protocol, as JSON ("null" where none was measured of these weights).
        """
        about = self._about(config)
        tensors = {name: _stored(tensor, half) for name, tensor in self.denoiser.state_dict().items()}
        with replacing(path) as temporary:
            temporary.write_bytes(save(tensors, about))  # save_file's are for their owner alone
        return about

    def _about(self, config: Path) -> dict[str, str]:
        figure = dict(self.figure or {})
        protocol = figure.pop("protocol", None)
        return {
            "experiment": str(self.run.read_config().name),
            "config_sha256": file_digest(config),
            "nimg": str(self.nimg),
            "figure": json.dumps(figure or None),
            "protocol": json.dumps(protocol),
        }


def _stored(tensor: Tensor, half: bool) -> Tensor:
    return (tensor.half() if half and tensor.dtype == torch.float32 else tensor).contiguous()


def _figure_at(run: Run, nimg: int) -> dict[str, Any] | None:
    """The first of the end, where the run ended with that number of images."""
    result = read_result(run)
    return next(iter(result["figures"]), None) if result.get("nimg") == nimg else None
