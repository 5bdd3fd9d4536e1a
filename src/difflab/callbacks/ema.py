"""The moving average of the denoiser's weights, as a callback."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch

from difflab.ema import Ema, decay, in_force
from difflab.lit import Diffusion


class EmaWeights(pl.Callback):
    """Follows the denoiser once an optimiser step, with a half-life in images.

    Lightning's own averages buffers of integers, and shows raw weights to those who sample after validation.
    """

    def __init__(self, halflife_nimg: int | float, rampup: float | None = 0.05) -> None:
        self.halflife_nimg = halflife_nimg
        self.rampup = rampup
        self.ema: Ema | None = None
        self._saved: dict[str, torch.Tensor] | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.ema = Ema(pl_module.denoiser.parameters())
        if self._saved is not None:
            for average, name in zip(self.ema.average, _names(pl_module), strict=True):
                average.copy_(self._saved[name])

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not pl_module.stepped:
            return
        assert self.ema is not None
        images = pl_module.nimg - pl_module.nimg_before
        self.ema.update(pl_module.denoiser.parameters(), decay(images, pl_module.nimg, self.halflife_nimg, self.rampup))

    def row(self, module: Any) -> dict[str, float]:
        """The half-life in force, and how far the average is from the weights, in units of their own length."""
        assert self.ema is not None
        return {
            "ema/halflife_nimg": in_force(module.nimg, self.halflife_nimg, self.rampup),
            "ema/distance": self.ema.distance(module.denoiser.parameters()),
        }

    @contextmanager
    def applied(self, module: Diffusion) -> Iterator[None]:
        """Within, the denoiser carries the average and is in eval mode; afterwards it is as it was."""
        assert self.ema is not None
        training = module.denoiser.training
        module.denoiser.eval()
        self.ema.swap(module.denoiser.parameters())
        try:
            yield
        finally:
            self.ema.swap(module.denoiser.parameters())
            module.denoiser.train(training)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        assert self.ema is not None
        checkpoint["ema"] = dict(zip(_names(pl_module), self.ema.average, strict=True))

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        self._saved = checkpoint["ema"]


def _names(module: Any) -> list[str]:
    return [name for name, _ in module.denoiser.named_parameters()]
