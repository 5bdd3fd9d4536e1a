"""Power-function averages of the denoiser's weights, kept now and then: an EMA length can be chosen after the run."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch

from difflab.callbacks.checkpoint import WholeFiles
from difflab.callbacks.snapshots import passed
from difflab.ema import Ema
from difflab.errors import DifflabError
from difflab.power_ema import beta, gamma_of
from difflab.runs.power_weights import KEY, kept_powers, power_path
from difflab.tracking import Recorder


class PowerEma(pl.Callback):
    """Follows the denoiser once an optimiser step with averages of the lengths `sigma_rel`, shares of the run so far.

    It writes them in half precision, as EDM2 (2312.02696) does, when the run passes each of `snapshots` even parts.
    """

    def __init__(self, recorder: Recorder, sigma_rel: Sequence[Any], snapshots: int) -> None:
        if not all(isinstance(length, int | float) for length in sigma_rel):
            raise DifflabError(
                f"callbacks.power_ema.sigma_rel={list(sigma_rel)}: EMA lengths as shares of the run, such as [0.03,0.1]"
            )
        self.recorder = recorder
        self.gammas = {float(length): gamma_of(length) for length in sigma_rel}
        self.shares = [(i + 1) / snapshots for i in range(snapshots)]
        self.averages: dict[float, Ema] = {}
        self._saved: dict[float, dict[str, torch.Tensor]] = {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        named = dict(pl_module.denoiser.named_parameters())
        self.averages = {length: Ema(named.values()) for length in self.gammas}
        for length, saved in self._saved.items():
            for average, name in zip(self.averages[length].average, named, strict=True):
                average.copy_(saved[name])

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not (self.gammas and pl_module.stepped):
            return
        images = pl_module.nimg - pl_module.nimg_before
        for length, gamma in self.gammas.items():
            self.averages[length].update(pl_module.denoiser.parameters(), beta(images, pl_module.nimg, gamma))
        if trainer.is_global_zero and passed(self.shares, pl_module):
            half = {length: {n: a.half() for n, a in named.items()} for length, named in self._named(pl_module).items()}
            path = power_path(self.recorder.run, pl_module.nimg)
            WholeFiles().save_checkpoint({"nimg": pl_module.nimg, KEY: half}, path)

    def _named(self, module: Any) -> dict[float, dict[str, torch.Tensor]]:
        names = [name for name, _ in module.denoiser.named_parameters()]
        return {length: dict(zip(names, ema.average, strict=True)) for length, ema in self.averages.items()}

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        if self.gammas:
            checkpoint[KEY] = self._named(pl_module)

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Forget, as well, what a killed session kept later than the checkpoint: this one may train otherwise."""
        self._saved = checkpoint.get(KEY, {})
        for nimg, path in kept_powers(self.recorder.run).items():
            if trainer.is_global_zero and nimg > checkpoint["nimg"]:
                path.unlink()
