"""The figures of the averaged weights, while training and at its end."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch

from difflab.callbacks.due import due
from difflab.callbacks.ema import EmaWeights
from difflab.generation import Generation
from difflab.metrics.protocol import Figure
from difflab.metrics.suite import Suite
from difflab.tracking import Recorder


class Evaluation(pl.Callback):
    """Every `every_nimg` images: the figures of `n` samples of `seed` against the training pictures."""

    def __init__(
        self,
        suite: Suite,
        generation: Generation,
        ema: EmaWeights,
        recorder: Recorder,
        every_nimg: int | None,
        n: int,
        seed: int,
        batch: int,
    ) -> None:
        self.suite, self.generation, self.ema, self.recorder = suite, generation, ema, recorder
        self.every_nimg, self.n, self.seed, self.batch = every_nimg, n, seed, batch

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if due(self.every_nimg, pl_module) and trainer.is_global_zero:
            self.measure(pl_module, self.n)

    def measure(self, module: Any, n: int) -> Sequence[Figure]:
        """The figures of the first `n` samples, logged with their n in the name: figures of other n differ."""
        with self.ema.applied(module):
            made = self.generation.batches(module.denoiser, self.seed, range(n), self.batch, module.device)
            images = torch.cat(list(made))
        protocol = self.generation.protocol | {
            "ema_halflife_nimg": self.ema.halflife_nimg,
            "sample_seed": self.seed,
        }
        figures = self.suite.score(images, protocol)
        self.recorder.log(module.nimg, {f"{f.name}/n={n}": f.value for f in figures})
        return figures
