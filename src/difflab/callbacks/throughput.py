"""How fast it goes: the bar while training, and images/s in the log."""

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl

from difflab.callbacks.due import due
from difflab.progress import Advance, images_bar
from difflab.tracking import Recorder


class Throughput(pl.Callback):
    """Images/s and GFLOP/s of training steps (waiting for data, samples and figures are not counted)."""

    def __init__(self, recorder: Recorder, every_nimg: int | None, gflop_per_image: float) -> None:
        self.recorder, self.every_nimg, self.gflop = recorder, every_nimg, gflop_per_image
        self._bar: AbstractContextManager[Advance] | None = None
        self._advance: Advance | None = None
        self._started = 0.0
        self._window = _Rate()
        self.session = _Rate()

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.is_global_zero:
            self._bar = images_bar("training", pl_module.total_nimg, pl_module.nimg)
            self._advance = self._bar.__enter__()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._started = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        images, seconds = len(batch["x0"]) * trainer.world_size, time.monotonic() - self._started
        for rate in (self._window, self.session):
            rate.add(images, seconds)
        if self._advance is not None:
            self._advance(images, f"loss {outputs['loss'].item():.4f}")
        if due(self.every_nimg, pl_module) and trainer.is_global_zero:
            self._log(pl_module.nimg)

    def _log(self, nimg: int) -> None:
        rate = self._window.per_second
        # A step is a forward pass and a backward pass of twice its cost.
        gflop = round(3 * rate * self.gflop, 1)
        self.recorder.log(nimg, {"speed/img_per_s": round(rate, 2), "speed/gflop_per_s": gflop})
        self._window = _Rate()

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        self._close()

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = self._advance = None


@dataclass
class _Rate:
    images: int = 0
    seconds: float = 0.0

    def add(self, images: int, seconds: float) -> None:
        self.images += images
        self.seconds += seconds

    @property
    def per_second(self) -> float:
        return self.images / self.seconds if self.seconds else 0.0
