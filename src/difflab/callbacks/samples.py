"""Grids of samples from fixed seeds while training, so that the grids of one run compare."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from jaxtyping import UInt8
from torch import Tensor

from difflab.callbacks.due import due
from difflab.callbacks.ema import EmaWeights
from difflab.callbacks.shared import shared_pictures
from difflab.generation import Generation
from difflab.pixels import grid, save_png
from difflab.tracking import Recorder


class Samples(pl.Callback):
    """Every `every_nimg` images: `n` pictures with the averaged weights, as samples/nimg=000012800.png.

    Those of the end go to the tracker one by one as well.
    """

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
        if due(self.every_nimg, pl_module) and pl_module.nimg < pl_module.total_nimg:
            self.write(pl_module)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """The last grid, while all ranks are there."""
        pl_module.to(trainer.strategy.root_device)  # Lightning has taken it off a GPU
        images = self.write(pl_module)
        if trainer.is_global_zero:
            self.recorder.tracker.samples(pl_module.nimg, self.seed, images, self.words())

    def words(self) -> list[str]:
        """For what each picture is made; none of a run without a condition."""
        asked = self.generation.asked
        return [] if asked is None else asked(self.seed, range(self.n)).words

    def path(self, nimg: int) -> Path:
        return self.recorder.run.samples / f"nimg={nimg:09d}.png"

    def write(self, module: Any) -> UInt8[Tensor, "n c h w"]:
        """The grid at this point of the run: every rank makes its share, rank 0 writes."""
        with self.ema.applied(module):
            images = shared_pictures(module, self.generation, self.n, self.seed, self.batch, "samples")
        if module.trainer.is_global_zero:
            save_png(self.path(module.nimg), grid(self._shown(module, images), scale=2))
            caption = f"{module.nimg:,} images seen, seed {self.seed}"
            self.recorder.picture(module.nimg, "samples/grid", self.path(module.nimg), caption)
        return images

    def _shown(self, module: Any, images: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h _w"]:
        """Beside what they were made from, where that is a picture."""
        asked = self.generation.asked
        return images if asked is None else module.denoiser.condition.beside(asked(self.seed, range(self.n)), images)
