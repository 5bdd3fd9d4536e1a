"""How a network takes the noise level and what it is told of a condition."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class LevelEmbedding(nn.Module):
    """Sines and cosines of the level, then a two-layer network; plus a projection of the condition's vector, if any.

    The level is log(sigma_hat)/4, within +-2.5; the frequencies are even in log scale from one turn over
    twice that range to one turn over a change of sigma_hat of a quarter.
    """

    frequencies: Tensor

    def __init__(self, dim: int, vector: int = 0, features: int = 128) -> None:
        super().__init__()
        turns = torch.logspace(math.log10(0.1), math.log10(16.0), features // 2)
        self.register_buffer("frequencies", 2 * math.pi * turns, persistent=False)
        self.layers = nn.Sequential(nn.Linear(features, dim), nn.SiLU(), nn.Linear(dim, dim), nn.SiLU())
        self.vector = nn.Linear(vector, dim) if vector else None

    def forward(self, level: Float[Tensor, " b"], vector: Float[Tensor, "b v"] | None = None) -> Float[Tensor, "b dim"]:
        angle = level[:, None] * self.frequencies
        out: Tensor = self.layers(torch.cat([angle.sin(), angle.cos()], dim=1))
        return out if self.vector is None else out + self.vector(vector)


def beside(x: Float[Tensor, "b c h w"], picture: Float[Tensor, "b k h w"] | None) -> Float[Tensor, "b _c h w"]:
    """The noisy picture with the condition's as further channels, if there is one."""
    return x if picture is None else torch.cat([x, picture], dim=1)


def mean_token(tokens: Float[Tensor, "b n e"], mask: Bool[Tensor, "b n"] | None) -> Float[Tensor, "b e"]:
    """Over the tokens that are there."""
    if mask is None:
        return tokens.mean(1)
    there = mask[..., None].to(tokens)
    return (tokens * there).sum(1) / there.sum(1)
