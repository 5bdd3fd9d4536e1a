"""A multilayer perceptron over all pixels: for toy data, and where a network must cost nothing."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from difflab.nets.embed import LevelEmbedding


class MLP(nn.Module):
    """Maps a noisy picture and its level to the prediction, both of `shape` = (c, h, w).

    `blocks` residual layers of `width`, each shifted by the level's embedding; the last layer starts at zero.
    `learn_variance` doubles the channels of the output: the second half is the variance (iDDPM, 2102.09672).
    """

    def __init__(self, shape: Sequence[int], width: int, blocks: int, learn_variance: bool = False) -> None:
        super().__init__()
        pixels, self.learn_variance = math.prod(shape), learn_variance
        self.embed = LevelEmbedding(width)
        self.stem = nn.Linear(pixels, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.out = nn.Linear(width, 2 * pixels if learn_variance else pixels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Float[Tensor, "b c h w"], level: Float[Tensor, " b"]) -> Float[Tensor, "b _c h w"]:
        emb, h = self.embed(level), self.stem(x.flatten(1))
        for block in self.blocks:
            h = h + block(torch.nn.functional.silu(h + emb))
        out: Tensor = self.out(h)
        return out.reshape(len(x), -1, *x.shape[2:])
