"""The newest good checkpoint: whole or absent, never half written."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.exceptions import SIGTERMException

from difflab.callbacks.due import due
from difflab.tracking import Recorder


class LastCheckpoint(pl.callbacks.Checkpoint):
    """Every `every_nimg` images and at the end: checkpoints/last.ckpt.

    Lightning runs callbacks of this kind after all others, so that their state of this step is in it, and
    writes to a temporary name that it renames. Nothing is written when training fails: the weights may be bad.
    A SIGTERM is not a failure: its last step is kept.
    """

    def __init__(self, recorder: Recorder, every_nimg: int | None) -> None:
        self.recorder, self.every_nimg = recorder, every_nimg

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        done = pl_module.nimg >= pl_module.total_nimg
        if done or due(self.every_nimg, pl_module):
            self._save(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        # Lightning raises this between two steps, when a scheduler has sent SIGTERM: the weights are good.
        if isinstance(exception, SIGTERMException):
            self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.recorder.run.checkpoint, weights_only=False)  # optimiser and all

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["wall_s"] = self.recorder.wall_s

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        self.recorder.rewind(checkpoint["nimg"], checkpoint["wall_s"])
