"""Averaged weights of a young run, kept for autoguidance."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl

from difflab.callbacks.checkpoint import WholeFiles
from difflab.callbacks.ema import EmaWeights
from difflab.errors import DifflabError
from difflab.runs.weights import kept_snapshots, snapshot_path
from difflab.tracking import Recorder


class KeptAverages(pl.Callback):
    """Writes the average when the run passes each share `at` of train.total_nimg, as a snapshot of its images seen.

    Its files are a quarter of a checkpoint: one copy of the weights, without optimiser.
    """

    def __init__(self, ema: EmaWeights, recorder: Recorder, at: Sequence[Any]) -> None:
        check_shares("callbacks.snapshots.at", at)
        self.ema, self.recorder, self.at = ema, recorder, at

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.is_global_zero and pl_module.stepped and passed(self.at, pl_module):
            contents: dict[str, Any] = {"nimg": pl_module.nimg}
            self.ema.on_save_checkpoint(trainer, pl_module, contents)
            WholeFiles().save_checkpoint(contents, snapshot_path(self.recorder.run, pl_module.nimg))

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Forget what a killed session kept later than the checkpoint: this one may train otherwise."""
        for nimg, path in kept_snapshots(self.recorder.run).items():
            if trainer.is_global_zero and nimg > checkpoint["nimg"]:
                path.unlink()


def check_shares(key: str, at: Sequence[Any]) -> None:
    """Raises DifflabError for what is no list of shares of a run."""
    if not all(isinstance(share, int | float) and 0 < share < 1 for share in at):
        raise DifflabError(f"{key}={list(at)}: shares of the run between 0 and 1, such as [0.25]")


def passed(shares: Sequence[float], module: Any) -> bool:
    """Whether the optimiser step that has just ended passed one of these shares of train.total_nimg."""
    return any(module.nimg_before < share * module.total_nimg <= module.nimg for share in shares)
