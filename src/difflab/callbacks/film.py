"""The denoising film of a run: from pure noise to pictures, with the averaged weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from difflab.callbacks.ema import EmaWeights
from difflab.callbacks.snapshots import check_shares, passed
from difflab.generation import Generation
from difflab.pixels import grid, save_gif
from difflab.tracking import Recorder

PICTURES = 16


class Film(pl.Callback):
    """samples/reverse.gif, when the run passes each share `at` of train.total_nimg and at its end: the last one stays.

    It costs as much as a grid of 16 samples.
    """

    def __init__(
        self, generation: Generation, ema: EmaWeights, recorder: Recorder, seed: int, at: Sequence[Any]
    ) -> None:
        check_shares("callbacks.film.at", at)
        self.generation, self.ema, self.recorder = generation, ema, recorder
        self.seed, self.at = seed, at

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.is_global_zero and pl_module.stepped and passed(self.at, pl_module):
            self.write(pl_module)

    def write(self, module: Any) -> Path:
        """The film at this point of the run."""
        path = self.recorder.run.samples / "reverse.gif"
        with self.ema.applied(module):
            frames = self.generation.film(module.denoiser, self.seed, range(PICTURES), module.device)
            save_gif(path, [grid(frame, scale=4) for frame in frames], ms=120)
        caption = f"{module.nimg:,} images seen, seed {self.seed}"
        self.recorder.picture(module.nimg, "films/reverse", path, caption)
        return path
