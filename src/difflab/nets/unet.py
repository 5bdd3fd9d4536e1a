"""The U-Net of ADM (2105.05233) and DDPM++ (2011.13456): residual blocks with adaptive group norm, attention
at named resolutions, zero-initialised outputs. Everything runs in channels_last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, pixel_shuffle, pixel_unshuffle

from difflab.conditions.base import NOTHING, Told, Widths
from difflab.errors import DifflabError
from difflab.nets.attention import Attention, CrossAttention, Features, heads_of, norm, zero
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
        _check_divisible(shape, patch, len(multipliers))
        c, hears = shape[0] * patch**2, Widths(**told or {})
        sizes = [shape[1] // patch // 2**level for level in range(len(multipliers))]
        widths, emb = [int(width * m) for m in multipliers], 4 * width
        _check_attends(hears, attention, sizes)
        _check_heads(width, {at: to for at, to in zip(sizes, widths, strict=True) if at in attention})
        self.patch, self.learn_variance, self.attention, self.sizes = patch, learn_variance, list(attention), sizes
        self.embed = LevelEmbedding(emb, hears.vector)
        self.stem = nn.Conv2d(c + hears.channels * patch**2, widths[0], 3, padding=1)
        plan = _Plan(widths, sizes, blocks, _Maker(emb, dropout, attention, hears.tokens))
        self.down, skips = plan.down()
        self.middle = plan.middle()
        self.up, self.joins = plan.up(skips)
        outputs = 2 * c if learn_variance else c
        last = zero(nn.Conv2d(widths[0], outputs, 3, padding=1))
        self.out = nn.Sequential(norm(widths[0]), nn.SiLU(inplace=True), last)
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


@dataclass(frozen=True)
class _Maker:
    """Blocks of one network. emb: width of what they are told of the level; tokens: of a condition's, 0 for none."""

    emb: int
    dropout: float
    attention: Sequence[int]
    tokens: int

    def plain(self, cin: int, cout: int, resample: str = "none") -> Block:
        return Block(ResBlock(cin, cout, self.emb, self.dropout, resample), None, None)

    def attending(self, cin: int, cout: int, size: int) -> Block:
        """With attention, where this resolution has some."""
        if size not in self.attention:
            return self.plain(cin, cout)
        res = ResBlock(cin, cout, self.emb, self.dropout)
        cross = CrossAttention(cout, self.tokens) if self.tokens else None
        return Block(res, Attention(cout), cross)


@dataclass(frozen=True)
class _Plan:
    """What blocks there are, level by level. widths and sizes: channels and height of each level's features."""

    widths: Sequence[int]
    sizes: Sequence[int]
    blocks: int
    make: _Maker

    def down(self) -> tuple[nn.ModuleList, list[int]]:
        """The blocks, and the channels of the stem and of each of them: what the way up joins."""
        found, widths = nn.ModuleList(), [at := self.widths[0]]
        for level, (to, size) in enumerate(zip(self.widths, self.sizes, strict=True)):
            if level > 0:
                found.append(self.make.plain(at, at, "down"))
                widths.append(at)
            for _ in range(self.blocks):
                found.append(self.make.attending(at, to, size))
                widths.append(at := to)
        return found, widths

    def middle(self) -> nn.ModuleList:
        at, size = self.widths[-1], self.sizes[-1]
        return nn.ModuleList([self.make.attending(at, at, size), self.make.plain(at, at)])

    def up(self, skips: Sequence[int]) -> tuple[nn.ModuleList, list[bool]]:
        """The blocks, and which of them join what the way down had."""
        found, joins, left, at = nn.ModuleList(), [], list(skips), self.widths[-1]
        for level in reversed(range(len(self.widths))):
            to, size = self.widths[level], self.sizes[level]
            for _ in range(self.blocks + 1):
                found.append(self.make.attending(at + left.pop(), to, size))
                at = to
            if level > 0:
                found.append(self.make.plain(at, at, "up"))
            joins += [True] * (self.blocks + 1) + [False] * (level > 0)
        return found, joins


def warn_of_idle_attention(net: nn.Module) -> None:
    """Say where attention is named, but at none of the U-Net's resolutions."""
    if isinstance(net, UNet) and net.attention and not set(net.attention) & set(net.sizes):
        print(
            f"warning: net.attention={net.attention} names none of this U-Net's resolutions, "
            f"{', '.join(map(str, net.sizes))}, so that it has none: name some of them, or set net.attention=[]"
        )


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


def _check_heads(width: int, channels: Mapping[int, int]) -> None:
    """channels: by the resolutions that have attention."""
    for size, c in channels.items():
        if c % heads_of(c):
            raise DifflabError(
                f"net.width={width} makes {c} channels at resolution {size}, which the {heads_of(c)} heads of its "
                "attention do not divide: take another net.width, such as a multiple of 64, or another net.attention"
            )
