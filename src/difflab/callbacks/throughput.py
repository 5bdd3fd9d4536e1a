"""How fast it goes: the bar while training, and images/s in the log."""

import time
from contextlib import AbstractContextManager
from typing import Any

import pytorch_lightning as pl

from difflab.callbacks.due import due
from difflab.progress import Advance, images_bar
from difflab.tracking import Recorder


class Throughput(pl.Callback):
    """Images/s of training steps alone (samples and figures are not counted), and GFLOP/s from them."""

    def __init__(self, recorder: Recorder, every_nimg: int, gflop_per_image: float) -> None:
        self.recorder, self.every_nimg, self.gflop = recorder, every_nimg, gflop_per_image
        self._bar: AbstractContextManager[Advance] | None = None
        self._advance: Advance | None = None
        self._seconds = self._images = self._started = 0.0
        self.img_per_s = 0.0  # over the whole session

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.is_global_zero:
            self._bar = images_bar("training", pl_module.total_nimg, pl_module.nimg)
            self._advance = self._bar.__enter__()
        self._session = [0.0, 0.0]

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._started = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        images = pl_module.nimg - pl_module.nimg_before
        self._seconds += time.monotonic() - self._started
        self._images += images
        if self._advance is not None:
            self._advance(images, f"loss {outputs['loss'].item():.4f}")
        if due(self.every_nimg, pl_module) and trainer.is_global_zero:
            self._log(pl_module.nimg)

    def _log(self, nimg: int) -> None:
        rate = self._images / self._seconds
        # A step is a forward pass and a backward pass of twice its cost.
        self.recorder.log(nimg, {"img_per_s": round(rate, 2), "train_gflop_per_s": round(3 * rate * self.gflop, 1)})
        self._session = [self._session[0] + self._images, self._session[1] + self._seconds]
        self.img_per_s = self._session[0] / self._session[1]
        self._images = self._seconds = 0.0

    def teardown(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None
