"""The LightningModule of an autoencoder: wiring only."""

from typing import Any

import torch
from torch import Tensor

from difflab.errors import DifflabError
from difflab.latents.reconstruction import Reconstruction, ReconstructionLoss
from difflab.lit import ByImages
from difflab.optim import AdamW
from difflab.rng import generator


class Autoencoding(ByImages):
    """Trains the autoencoder of an objective."""

    def __init__(
        self, objective: Reconstruction, optim: AdamW, total_nimg: int, seed: int, grad_clip: float | None
    ) -> None:
        super().__init__(optim, total_nimg, seed, grad_clip)
        self.objective = objective
        self.loss: ReconstructionLoss | None = None  # of the last step, for the callbacks

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        noise = generator(self.seed, "noise", *self.place, device=self.device)
        loss = self.loss_of(batch, noise)
        if not torch.isfinite(loss.per_sample).all():
            raise DifflabError(f"the loss is not finite at {self.where()}")
        self.loss = loss
        self.saw(batch)
        return loss.per_sample.mean()

    def loss_of(self, batch: dict[str, Any], generator: torch.Generator) -> ReconstructionLoss:
        loss: ReconstructionLoss = self.objective(batch["x0"], generator)
        return loss
