"""The newest good checkpoint: whole or absent, never half written."""

from io import BytesIO
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities.exceptions import SIGTERMException

from difflab.callbacks.due import due
from difflab.files import replacing
from difflab.tracking import Recorder


class WholeFiles(TorchCheckpointIO):
    """Writes beside the old file and renames. Lightning's own goes through the temporary folder, and from another
    filesystem its last act is a copy onto the old file, which a full disk or a kill cuts short."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        whole = BytesIO()  # torch hides a full disk behind an error of its own
        torch.save(checkpoint, whole)
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(whole.getbuffer())


class LastCheckpoint(pl.callbacks.Checkpoint):
    """Every `every_nimg` images and at the end: checkpoints/last.ckpt.

    Lightning runs callbacks of this kind after all others, so that their state of this step is in it. It is written
    between two optimiser steps only, since gradients are in no checkpoint. Nothing is written when training fails:
    the weights may be bad. A SIGTERM is not a failure.
    """

    def __init__(self, recorder: Recorder, every_nimg: int | None) -> None:
        self.recorder, self.every_nimg = recorder, every_nimg

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        done = pl_module.nimg >= pl_module.total_nimg
        if done or due(self.every_nimg, pl_module):
            self._save(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        # Lightning raises this at the end of a batch, when a scheduler has sent SIGTERM: the weights are good.
        if isinstance(exception, SIGTERMException) and pl_module.stepped:
            self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.recorder.run.checkpoint, weights_only=False)  # optimiser and all

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["wall_s"] = self.recorder.wall_s

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        if trainer.is_global_zero:
            self.recorder.rewind(checkpoint["nimg"], checkpoint["wall_s"])
