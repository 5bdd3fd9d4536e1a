"""The embedding of the noise level."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LevelEmbedding(nn.Module):
    """Sines and cosines of the level, then a two-layer network.

    The level is log(sigma_hat)/4, within +-2.5; the frequencies are even in log scale from one turn over
    twice that range to one turn over a change of sigma_hat of a quarter.
    """

    frequencies: Tensor

    def __init__(self, dim: int, features: int = 128) -> None:
        super().__init__()
        turns = torch.logspace(math.log10(0.1), math.log10(16.0), features // 2)
        self.register_buffer("frequencies", 2 * math.pi * turns, persistent=False)
        self.layers = nn.Sequential(nn.Linear(features, dim), nn.SiLU(), nn.Linear(dim, dim), nn.SiLU())

    def forward(self, level: Float[Tensor, " b"]) -> Float[Tensor, "b dim"]:
        angle = level[:, None] * self.frequencies
        out: Tensor = self.layers(torch.cat([angle.sin(), angle.cos()], dim=1))
        return out
