"""A multilayer perceptron over all pixels: for toy data, and where a network must cost nothing."""

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from difflab.conditions.base import NOTHING, Told, Widths
from difflab.nets.embed import LevelEmbedding, beside, mean_token


class MLP(nn.Module):
    """Maps a noisy picture and its level to the prediction, both of `shape` = (c, h, w).

    `blocks` residual layers of `width`, each shifted by the level's embedding; the last layer starts at zero.
    `learn_variance` doubles the channels of the output: the second half is the variance (iDDPM, 2102.09672).
    `told`: widths of what it is told of a condition; of tokens it takes the mean.
    """

    def __init__(
        self,
        shape: Sequence[int],
        width: int,
        blocks: int,
        learn_variance: bool = False,
        told: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        pixels, self.learn_variance = math.prod(shape), learn_variance
        widths = Widths(**told or {})
        self.embed = LevelEmbedding(width, widths.vector)
        self.tokens = nn.Linear(widths.tokens, width) if widths.tokens else None
        self.stem = nn.Linear(pixels + widths.channels * math.prod(shape[1:]), width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.out = nn.Linear(width, 2 * pixels if learn_variance else pixels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, x: Float[Tensor, "b c h w"], level: Float[Tensor, " b"], told: Told = NOTHING
    ) -> Float[Tensor, "b _c h w"]:
        emb, h = self.embed(level, told.vector), self.stem(beside(x, told.picture).flatten(1))
        if self.tokens is not None:
            emb = emb + mean_token(self.tokens(told.tokens), told.mask)
        for block in self.blocks:
            h = h + block(torch.nn.functional.silu(h + emb))
        out: Tensor = self.out(h)
        return out.reshape(len(x), -1, *x.shape[2:])
