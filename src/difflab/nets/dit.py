"""The diffusion transformer (2212.09748): patches as tokens, every block shifted, scaled and gated by the level."""

from collections.abc import Mapping, Sequence

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from difflab.conditions.base import NOTHING, Told, Widths
from difflab.errors import DifflabError
from difflab.nets.attention import attended, heads_of, zero
from difflab.nets.embed import LevelEmbedding, beside

Patches = Float[Tensor, "b p w"]


class MultiHead(nn.Module):
    """Heads of `head` features over all patches, or over the tokens of a condition."""

    def __init__(self, width: int, of: int, head: int = 64) -> None:
        super().__init__()
        self.heads = heads_of(width, head)
        self.q, self.kv, self.out = nn.Linear(width, width), nn.Linear(of, 2 * width), nn.Linear(width, width)

    def forward(self, x: Patches, of: Float[Tensor, "b n e"], mask: Bool[Tensor, "b n"] | None = None) -> Patches:
        k, v = self.kv(of).chunk(2, dim=-1)
        out: Tensor = self.out(attended(self.q(x), k, v, self.heads, mask))
        return out


class DiTBlock(nn.Module):
    """Attention and a two-layer network, each in adaLN-Zero (section 3.2): it starts as the identity.

    Tokens of a condition are attended to in between, without a gate: that layer's output starts at zero (2310.00426).
    """

    def __init__(self, width: int, emb: int, tokens: int, ratio: int = 4) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.attention = MultiHead(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, ratio * width), nn.GELU(), nn.Linear(ratio * width, width))
        self.modulation = zero(nn.Linear(emb, 6 * width))
        self.norm_tokens = nn.LayerNorm(tokens) if tokens else None
        self.cross = MultiHead(width, tokens) if tokens else None
        if self.cross is not None:
            zero(self.cross.out)

    def forward(self, x: Patches, emb: Float[Tensor, "b e"], told: Told) -> Patches:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(emb)[:, None].chunk(6, dim=-1)
        h = _modulated(self.norm1(x), shift1, scale1)
        x = x + gate1 * self.attention(h, h)
        if self.cross is not None and self.norm_tokens is not None:
            x = x + self.cross(x, self.norm_tokens(told.tokens), told.mask)
        return x + gate2 * self.mlp(_modulated(self.norm2(x), shift2, scale2))


class DiT(nn.Module):
    """Maps a noisy picture and its level to the prediction, both of `shape` = (c, h, w).

    Squares of `patch` pixels are tokens of `width` features, with fixed places (sines and cosines of row and column),
    through `depth` blocks. `learn_variance` doubles the channels of the output: the second half is the variance.
    `told`: widths of what it is told of a condition.
    """

    places: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        width: int,
        depth: int,
        patch: int,
        learn_variance: bool = False,
        told: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        _check_divisible(shape, patch, width)
        c, h, w = shape
        self.patch, self.learn_variance, widths = patch, learn_variance, Widths(**told or {})
        self.embed = LevelEmbedding(width, widths.vector)
        self.stem = nn.Linear((c + widths.channels) * patch**2, width)
        self.register_buffer("places", places(h // patch, w // patch, width), persistent=False)
        self.blocks = nn.ModuleList(DiTBlock(width, width, widths.tokens) for _ in range(depth))
        self.norm, self.modulation = nn.LayerNorm(width, elementwise_affine=False), zero(nn.Linear(width, 2 * width))
        self.out = zero(nn.Linear(width, (2 * c if learn_variance else c) * patch**2))

    def forward(
        self, x: Float[Tensor, "b c h w"], level: Float[Tensor, " b"], told: Told = NOTHING
    ) -> Float[Tensor, "b _c h w"]:
        emb, size = self.embed(level, told.vector), {"p": self.patch, "q": self.patch, "i": x.shape[2] // self.patch}
        h = self.stem(rearrange(beside(x, told.picture), "b c (i p) (j q) -> b (i j) (c p q)", **size)) + self.places
        for block in self.blocks:
            h = block(h, emb, told)
        shift, scale = self.modulation(emb)[:, None].chunk(2, dim=-1)
        out: Tensor = rearrange(
            self.out(_modulated(self.norm(h), shift, scale)), "b (i j) (c p q) -> b c (i p) (j q)", **size
        )
        return out


def places(rows: int, columns: int, width: int) -> Float[Tensor, "p w"]:
    """Of each patch: a quarter of the features each for sine and cosine of its row and of its column (1706.03762)."""
    frequencies = 10_000 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    row, column = torch.meshgrid(torch.arange(rows).double(), torch.arange(columns).double(), indexing="ij")
    angles = [at.flatten()[:, None] * frequencies for at in (row, column)]
    return torch.cat([f(angle) for angle in angles for f in (torch.sin, torch.cos)], dim=1).float()


def _modulated(x: Patches, shift: Float[Tensor, "b 1 w"], scale: Float[Tensor, "b 1 w"]) -> Patches:
    return torch.addcmul(shift, x, 1 + scale)


def _check_divisible(shape: Sequence[int], patch: int, width: int) -> None:
    if shape[1] % patch or shape[2] % patch:
        raise DifflabError(
            f"net.patch={patch} does not divide pictures of {shape[1]}x{shape[2]}: take another net.patch or data.shape"
        )
    if width % 4 or (width > 64 and width % 64):
        raise DifflabError(
            f"net.width={width}: the features of a transformer are a multiple of 64, or 4 to 64 of them in one head"
        )
