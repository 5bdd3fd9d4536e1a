"""Guidance that keeps each guess in the range of pixels."""

from dataclasses import dataclass

import torch
from torch import Tensor

from difflab.denoiser import Pictures
from difflab.errors import DifflabError
from difflab.guidance import Guidance


@dataclass(frozen=True)
class Clip(Guidance):
    """The guess kept between the darkest and the brightest pixel, as DDPM's own sampler does."""

    low: int | float = -1.0
    high: int | float = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise DifflabError(f"guidance.low={self.low} is not below guidance.high={self.high}: pixels are in -1..1")

    def change(self, x0: Pictures, x: Pictures, alpha: Tensor, sigma: Tensor) -> Pictures:
        return x0.clamp(self.low, self.high)


@dataclass(frozen=True)
class DynamicThreshold(Guidance):
    """Each guess clipped to -s..s and divided by s, its quantile of |x0|, but at least 1: Imagen (2205.11487) 2.3."""

    quantile: int | float

    def __post_init__(self) -> None:
        if not 0 <= self.quantile <= 1:
            raise DifflabError(f"guidance.quantile={self.quantile}: a share of the pixels, from 0 to 1, such as 0.995")

    def change(self, x0: Pictures, x: Pictures, alpha: Tensor, sigma: Tensor) -> Pictures:
        rows = x0.abs().flatten(1)  # torch's quantile takes 16 million numbers at most: a picture, not a batch
        s = torch.stack([row.quantile(self.quantile) for row in rows]).clamp(min=1)
        s = s.reshape(-1, *[1] * (x0.ndim - 1))
        return x0.clamp(-s, s) / s
