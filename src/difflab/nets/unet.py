"""The U-Net of ADM (2105.05233) and DDPM++ (2011.13456): residual blocks with adaptive group norm, attention
at named resolutions, zero-initialised outputs. Everything runs in channels_last."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, pixel_shuffle, pixel_unshuffle

from difflab.conditions.base import NOTHING, Told, Widths
from difflab.errors import DifflabError
from difflab.nets.attention import Attention, CrossAttention, Features, norm, zero
from difflab.nets.embed import LevelEmbedding, beside


class ResBlock(nn.Module):
    """norm, SiLU, [resample], conv, adaptive norm by the level, SiLU, dropout, conv, plus the input."""

    def __init__(self, cin: int, cout: int, emb: int, dropout: float, resample: str = "none") -> None:
        super().__init__()
        self.resample = resample
        self.norm1, self.conv1 = norm(cin), nn.Conv2d(cin, cout, 3, padding=1)
        self.affine = nn.Linear(emb, 2 * cout)
        self.norm2, self.conv2 = norm(cout), zero(nn.Conv2d(cout, cout, 3, padding=1))
        self.skip = nn.Conv2d(cin, cout, 1) if cin != cout else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.act = nn.SiLU(inplace=True)

    def forward(self, x: Features, emb: Float[Tensor, "b e"]) -> Features:
        h = self.act(self.norm1(x))
        h, x = self._resize(h), self._resize(x)
        h = self.conv1(h)
        scale, shift = self.affine(emb)[:, :, None, None].chunk(2, dim=1)
        h = self.act(torch.addcmul(shift, self.norm2(h), scale + 1))
        out: Tensor = self.skip(x) + self.conv2(self.dropout(h))
        return out

    def _resize(self, x: Features) -> Features:
        if self.resample == "down":
            return avg_pool2d(x, 2)
        if self.resample == "up":
            return interpolate(x, scale_factor=2, mode="nearest")
        return x


class Block(nn.Module):
    """A residual block and, where asked for, attention: to itself, and to the tokens of a condition that has some."""

    def __init__(self, res: ResBlock, attention: Attention | None, cross: CrossAttention | None) -> None:
        super().__init__()
        self.res, self.attention, self.cross = res, attention, cross

    def forward(self, x: Features, emb: Float[Tensor, "b e"], told: Told) -> Features:
        x = self.res(x, emb)
        x = x if self.attention is None else self.attention(x)
        return x if self.cross is None else self.cross(x, told.tokens, told.mask)


class UNet(nn.Module):
    """Maps a noisy picture and its level to the prediction, both of `shape` = (c, h, w).

    `width` times `multipliers` are the channels of each level of resolution, halved from one to the next;
    `attention` names the resolutions (heights of the feature map) with attention. `patch` folds squares of
    pixels into channels first, which trains 32x32 pictures on a 16x16 map at a quarter of the cost.
    `learn_variance` doubles the channels of the output: the second half is the variance (iDDPM, 2102.09672).
    `told`: widths of what it is told of a condition; tokens are attended to where there is attention.
    """

    def __init__(
        self,
        shape: Sequence[int],
        width: int,
        multipliers: Sequence[int | float],
        blocks: int,
        attention: Sequence[int],
        patch: int = 1,
        dropout: float = 0.0,
        learn_variance: bool = False,
        told: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        c, size, widths_told = shape[0] * patch**2, shape[1] // patch, Widths(**told or {})
        self.learn_variance = learn_variance
        outputs = 2 * c if learn_variance else c
        _check_divisible(shape, patch, len(multipliers))
        _check_attends(widths_told, attention, [size // 2**i for i in range(len(multipliers))])
        self.patch, emb = patch, 4 * width
        widths = [int(width * m) for m in multipliers]
        self.embed = LevelEmbedding(emb, widths_told.vector)
        self.stem = nn.Conv2d(c + widths_told.channels * patch**2, widths[0], 3, padding=1)

        def block(cin: int, cout: int, size: int, resample: str = "none") -> Block:
            res, here = ResBlock(cin, cout, emb, dropout, resample), size in attention and resample == "none"
            cross = CrossAttention(cout, widths_told.tokens) if here and widths_told.tokens else None
            return Block(res, Attention(cout) if here else None, cross)

        self.down = nn.ModuleList()
        skips = [at := widths[0]]
        for level, to in enumerate(widths):
            if level > 0:
                size //= 2
                self.down.append(block(at, at, size, "down"))
                skips.append(at)
            for _ in range(blocks):
                self.down.append(block(at, to, size))
                skips.append(at := to)

        self.middle = nn.ModuleList([block(at, at, size), Block(ResBlock(at, at, emb, dropout), None, None)])

        self.up = nn.ModuleList()
        self.joins: list[bool] = []  # which up blocks take a skip connection
        for level, to in reversed(list(enumerate(widths))):
            for _ in range(blocks + 1):
                self.up.append(block(at + skips.pop(), to, size))
                self.joins.append(True)
                at = to
            if level > 0:
                size *= 2
                self.up.append(block(at, at, size, "up"))
                self.joins.append(False)

        self.out = nn.Sequential(norm(at), nn.SiLU(inplace=True), zero(nn.Conv2d(at, outputs, 3, padding=1)))
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Features, level: Float[Tensor, " b"], told: Told = NOTHING) -> Features:
        emb = self.embed(level, told.vector)
        x = pixel_unshuffle(beside(x, told.picture), self.patch).contiguous(memory_format=torch.channels_last)
        skips = [x := self.stem(x)]
        for block in self.down:
            skips.append(x := block(x, emb, told))
        for block in self.middle:
            x = block(x, emb, told)
        for block, join in zip(self.up, self.joins, strict=True):
            x = block(torch.cat([x, skips.pop()], dim=1) if join else x, emb, told)
        return pixel_shuffle(self.out(x), self.patch)


def _check_divisible(shape: Sequence[int], patch: int, levels: int) -> None:
    factor = patch * 2 ** (levels - 1)
    if shape[1] % factor or shape[2] % factor:
        raise DifflabError(
            f"a U-Net of patch {patch} and {levels} levels divides pictures by {factor}, which {shape[1]}x{shape[2]} "
            f"is not a multiple of: take fewer net.multipliers, a smaller net.patch, or another data.shape"
        )


def _check_attends(told: Widths, attention: Sequence[int], sizes: Sequence[int]) -> None:
    if told.tokens and not set(attention) & set(sizes):
        raise DifflabError(
            "the condition has tokens, which a U-Net attends to at the resolutions of "
            f"net.attention={list(attention)}: none of them is one of its own, {', '.join(map(str, sizes))}"
        )
