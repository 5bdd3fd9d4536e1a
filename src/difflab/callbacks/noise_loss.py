"""The loss, and the error by noise level: the learning curve of a diffusion model."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from difflab.callbacks.due import due
from difflab.callbacks.ema import EmaWeights
from difflab.tracking import Recorder


class NoiseLoss(pl.Callback):
    """Every `every_nimg` images: mean loss, gradient norm, learning rate, |x0 - x0_hat|^2 in bins of logsnr, and the
    state of the average.

    The error in x0 space does not depend on prediction, weighting or times, so runs compare by it.
    """

    def __init__(
        self, ema: EmaWeights, recorder: Recorder, every_nimg: int, bins: int, low: float = -8.0, high: float = 8.0
    ) -> None:
        self.ema, self.recorder, self.every_nimg = ema, recorder, every_nimg
        self.edges = torch.linspace(low, high, bins + 1, dtype=torch.float64)
        self._reset()

    def _reset(self) -> None:
        bins = len(self.edges) - 1
        self.sums = {"loss": torch.zeros(2).double(), "x0_mse": torch.zeros(2, bins).double()}

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._add(pl_module.loss.per_sample, pl_module.loss.x0_mse, pl_module.loss.logsnr)
        if not due(self.every_nimg, pl_module):
            return
        if trainer.is_global_zero:
            lr = trainer.optimizers[0].param_groups[0]["lr"]
            more = {"train/lr": lr, "train/grad_norm": pl_module.grad_norm.item()}
            self.recorder.log(pl_module.nimg, self._row() | more | self.ema.row(pl_module))
        self._reset()

    def _add(self, loss: Tensor, x0_mse: Tensor, logsnr: Tensor) -> None:
        loss = loss.detach().double().cpu()
        self.sums["loss"] += torch.stack([loss.sum(), torch.tensor(float(len(loss)))])
        x0_mse = x0_mse.double().cpu()
        bins = torch.bucketize(logsnr.cpu(), self.edges) - 1
        inside = (bins >= 0) & (bins < len(self.edges) - 1)
        for row, values in zip(self.sums["x0_mse"], (x0_mse, torch.ones_like(x0_mse)), strict=True):
            row.index_add_(0, bins[inside], values[inside])

    def _row(self) -> dict[str, float]:
        total, count = self.sums["loss"].tolist()
        row = {"train/loss": total / count}
        names = (f"x0_mse/logsnr={a:+.0f}..{b:+.0f}" for a, b in zip(self.edges[:-1], self.edges[1:], strict=True))
        for name, (s, n) in zip(names, self.sums["x0_mse"].T.tolist(), strict=True):
            if n:
                row[name] = s / n
        return row

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self.sums}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.sums = state_dict["sums"]
