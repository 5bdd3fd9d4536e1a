"""Grids of samples from fixed seeds while training, so that the grids of one run compare."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from difflab.callbacks.due import due
from difflab.callbacks.ema import EmaWeights
from difflab.generation import Generation
from difflab.pixels import grid, save_png
from difflab.tracking import Recorder


class Samples(pl.Callback):
    """Every `every_nimg` images: `n` pictures with the averaged weights, as samples/nimg=000012800.png."""

    def __init__(
        self,
        generation: Generation,
        ema: EmaWeights,
        recorder: Recorder,
        every_nimg: int | None,
        n: int,
        seed: int,
        batch: int,
    ) -> None:
        self.generation, self.ema, self.recorder = generation, ema, recorder
        self.every_nimg, self.n, self.seed, self.batch = every_nimg, n, seed, batch

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if due(self.every_nimg, pl_module) and trainer.is_global_zero:
            self.write(pl_module)

    def write(self, module: Any) -> Path:
        """The grid at this point of the run."""
        with self.ema.applied(module):
            made = self.generation.batches(module.denoiser, self.seed, range(self.n), self.batch, module.device)
            images = torch.cat(list(made))
        path = self.recorder.run.samples / f"nimg={module.nimg:09d}.png"
        save_png(path, grid(images, scale=2))
        self.recorder.picture(module.nimg, "samples/grid", path)
        return path
