"""The LightningModules: wiring only. The mathematics is in the objectives, the decisions in conf/."""

from abc import abstractmethod
from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor

from difflab.conditions.base import Given
from difflab.denoiser import Denoiser
from difflab.errors import DifflabError
from difflab.objective import Loss, Objective
from difflab.optim import AdamW
from difflab.rng import fold, generator


@runtime_checkable
class PerSample(Protocol):
    @property
    def per_sample(self) -> Float[Tensor, " b"]: ...


class ByImages(pl.LightningModule):
    """Training by the clock of `nimg`, the images seen by all devices: what is the same whatever is trained."""

    def __init__(self, optim: AdamW, total_nimg: int, seed: int, grad_clip: float | None) -> None:
        super().__init__()
        self.optim = optim
        self.total_nimg = total_nimg
        self.seed = seed
        self.grad_clip = grad_clip
        self.nimg = self.nimg_before = 0  # now, and when the current optimiser step began
        self.step_begun = -1
        self.grad_norm = torch.zeros(())

    @abstractmethod
    def loss_of(self, batch: dict[str, Any], generator: torch.Generator) -> PerSample:
        """What is minimised, of each picture of a batch."""

    @property
    def place(self) -> tuple[int, int]:
        """What the randomness of a step depends on, besides the seed."""
        return self.nimg, self.global_rank

    def saw(self, batch: dict[str, Any]) -> None:
        self.nimg += len(batch["x0"]) * self.trainer.world_size

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optim.build(self.parameters())

    @property
    def stepped(self) -> bool:
        """Whether the optimiser has stepped since the batch began: not so between accumulated batches."""
        return self.trainer.global_step != self.step_begun

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if not self.stepped:
            return
        self.step_begun, self.nimg_before = self.trainer.global_step, self.nimg
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.optim.lr_at(self.nimg, self.total_nimg)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by the norm, which is kept for the log: Lightning would not say it."""
        limit = float("inf") if self.grad_clip is None else self.grad_clip
        self.grad_norm = torch.nn.utils.clip_grad_norm_(self.parameters(), limit)
        if not torch.isfinite(self.grad_norm):
            raise DifflabError(f"the gradient is not finite at {self.where()}")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["nimg"] = self.nimg

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.nimg = checkpoint["nimg"]

    def where(self) -> str:
        """Of a failure, for its message, and the way on."""
        return (
            f"step {self.global_step} (nimg={self.nimg}): the last checkpoint is kept; resume it with a lower "
            f"optim.lr (now {self.optim.lr:g}) or a lower train.grad_clip"
        )


class Diffusion(ByImages):
    """Trains a denoiser on an objective."""

    def __init__(
        self,
        denoiser: Denoiser,
        objective: Objective,
        optim: AdamW,
        total_nimg: int,
        seed: int,
        grad_clip: float | None,
    ) -> None:
        super().__init__(optim, total_nimg, seed, grad_clip)
        self.denoiser = denoiser
        self.objective = objective
        self.loss: Loss | None = None  # of the last step, for the callbacks

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        place = self.place
        torch.manual_seed(fold(self.seed, "dropout", *place))  # dropout can't be handed a generator
        noise = generator(self.seed, "noise", *place, device=self.device)
        self.loss = self.loss_of(batch, noise)
        self._refuse_non_finite(self.loss)
        self._observe(self.loss)
        self.saw(batch)
        return self.loss.per_sample.mean()

    def loss_of(self, batch: dict[str, Any], generator: torch.Generator) -> Loss:
        loss: Loss = self.objective(self.denoiser.given(self._given(batch)), batch["x0"], generator)
        return loss

    def _given(self, batch: dict[str, Any]) -> Given:
        """The condition of each picture, dropped of a share of them."""
        condition = self.denoiser.condition
        given = condition.of_batch(batch).to(batch["x0"].device)  # captions are read on the processor
        return given.dropped(condition.dropout, generator(self.seed, "condition", *self.place))

    def _observe(self, loss: Loss) -> None:
        """Show the losses of all devices to the density of times, so that they agree on it."""
        t, unscaled = (self.all_gather(v).flatten() for v in (loss.t, loss.unscaled))  # type: ignore[union-attr]
        self.objective.times.observe(t, unscaled, self.objective.schedule)

    def _refuse_non_finite(self, loss: Loss) -> None:
        bad = ~torch.isfinite(loss.per_sample)
        if bad.any():
            worst = loss.logsnr[bad][0].item()
            raise DifflabError(
                f"the loss of {int(bad.sum())} of {len(bad)} pictures, one at logsnr={worst:.2f}, is not finite "
                f"at {self.where()}"
            )
