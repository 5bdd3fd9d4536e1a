"""Made-up pictures and a stand-in for the data side's set of pictures."""

import hashlib
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from difflab import rng


@dataclass(frozen=True)
class Pictures:
    pixels: UInt8[Tensor, "n c h w"]

    def digest(self) -> str:
        return hashlib.sha256(self.pixels.contiguous().numpy().tobytes()).hexdigest()


def shapes(n: int, seed: int, channels: int = 1) -> UInt8[Tensor, "n c 32 32"]:
    """Ellipses with a grey ramp on black: edges that blur removes, surfaces that noise spoils."""
    g = rng.generator(seed, "shapes")
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    cx, cy, rx, ry, tilt = (torch.rand(n, 1, 1, generator=g) for _ in range(5))
    inside = ((x - cx / 2 + 0.25) / (0.3 + rx / 2)) ** 2 + ((y - cy / 2 + 0.25) / (0.3 + ry / 2)) ** 2 < 1
    grey = 160 + 60 * (tilt * x + (1 - tilt) * y)
    return (inside * grey).round().to(torch.uint8)[:, None].repeat(1, channels, 1, 1)
