"""The optimiser, and a learning rate that is a function of images seen and nothing else."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from difflab.errors import DifflabError


@dataclass(frozen=True)
class AdamW:
    """AdamW (1711.05101) with linear warm-up, then decay to `floor` times the peak at the end of the run."""

    lr: float
    betas: Sequence[float] = (0.9, 0.99)
    weight_decay: float = 0.0
    warmup_nimg: int = 0
    decay: Literal["constant", "linear", "cosine"] = "constant"
    floor: float = 0.0

    def __post_init__(self) -> None:
        if self.decay not in ("constant", "linear", "cosine"):
            raise DifflabError(f"optim.decay={self.decay}: the learning rate decays constant, linear or cosine")
        if len(self.betas) != 2:
            raise DifflabError(f"optim.betas={list(self.betas)}: AdamW takes two, such as [0.9,0.99]")

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        first, second = self.betas
        return torch.optim.AdamW(
            parameters, lr=self.lr, betas=(first, second), weight_decay=self.weight_decay, fused=True
        )

    def lr_at(self, nimg: int, total_nimg: int) -> float:
        """The learning rate of the step that begins after `nimg` of `total_nimg` images."""
        warm = 1.0 if nimg >= self.warmup_nimg else (nimg + 1) / self.warmup_nimg
        share = min(1.0, nimg / total_nimg)
        falling = {"constant": 1.0, "linear": 1 - share, "cosine": (1 + math.cos(math.pi * share)) / 2}
        return self.lr * warm * (self.floor + (1 - self.floor) * falling[self.decay])
