"""What is seen of an autoencoder while it is trained: its loss, its fidelity, and pictures before and after."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from difflab.callbacks.due import due
from difflab.data.images import Images
from difflab.latents.fidelity import reconstructed, reconstruction_psnr
from difflab.metrics.protocol import Figure
from difflab.pixels import grid, save_png
from difflab.tracking import Recorder


class ReconstructionLog(pl.Callback):
    """Every `every_nimg` images: means of the loss and its two parts, gradient norm and learning rate."""

    def __init__(self, recorder: Recorder, every_nimg: int) -> None:
        self.recorder, self.every_nimg = recorder, every_nimg
        self.sums: dict[str, float] = {}
        self.n = 0

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        loss = pl_module.loss
        for name, values in {"loss": loss.per_sample, "mse": loss.mse, "nats_per_dim": loss.nats}.items():
            self.sums[name] = self.sums.get(name, 0.0) + values.sum().item()
        self.n += len(loss.mse)
        if due(self.every_nimg, pl_module) and trainer.is_global_zero:
            row = {f"train/{name}": value / self.n for name, value in self.sums.items()}
            row |= {"train/lr": trainer.optimizers[0].param_groups[0]["lr"]}
            row |= {"train/grad_norm": pl_module.grad_norm.item()}
            self.recorder.log(pl_module.nimg, row)
            self.sums, self.n = {}, 0

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["reconstruction_log"] = {"sums": self.sums, "n": self.n}

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        self.sums, self.n = (checkpoint["reconstruction_log"][key] for key in ("sums", "n"))


class BeforeAndAfter(pl.Callback):
    """Every `every_nimg` images and at the end, of pictures that training never sees: the first `n` of them and what
    comes back, side by side, as samples/nimg=000012800.png, and the fidelity over all of them.
    """

    def __init__(self, recorder: Recorder, held_out: Images, name: str, every_nimg: int | None, n: int) -> None:
        self.recorder, self.held_out, self.name = recorder, held_out, name
        self.every_nimg, self.n = every_nimg, n

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.is_global_zero and due(self.every_nimg, pl_module) and pl_module.nimg < pl_module.total_nimg:
            self.write(pl_module)

    def path(self, nimg: int) -> Path:
        return self.recorder.run.samples / f"nimg={nimg:09d}.png"

    def write(self, module: Any) -> Figure:
        """The picture and the fidelity at this point of the run."""
        autoencoder, first = module.objective.autoencoder, self.held_out.pixels[: self.n]
        pairs = torch.cat([first, reconstructed(autoencoder, first)], dim=-1)
        save_png(self.path(module.nimg), grid(pairs, scale=2))
        caption = f"{module.nimg:,} images seen: before and after"
        self.recorder.picture(module.nimg, "samples/grid", self.path(module.nimg), caption)
        figure = reconstruction_psnr(autoencoder, self.held_out, self.name, module.nimg)
        self.recorder.figures(module.nimg, {f"figures/{figure.name}/n={len(self.held_out)}": figure})
        return figure
