"""Attention over the positions of a feature map: to itself, and to the tokens of a condition."""

import math
from typing import TypeVar

from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

Features = Float[Tensor, "b _c _h _w"]  # each may change on the way
Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


def zero(layer: Layer) -> Layer:
    """A layer that starts as the zero function, so that its block starts as the identity."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(32, channels), channels)


def heads_of(features: int, head: int = 64) -> int:
    """One for every `head` features."""
    return max(1, features // head)


def attended(
    q: Float[Tensor, "b n c"],
    k: Float[Tensor, "b m c"],
    v: Float[Tensor, "b m c"],
    heads: int,
    mask: Bool[Tensor, "b m"] | None = None,
) -> Float[Tensor, "b n c"]:
    """What each row of q takes of the rows of v that are there, in each of the heads."""
    q, k, v = (rearrange(x, "b n (h c) -> b h n c", h=heads) for x in (q, k, v))
    a = scaled_dot_product_attention(q, k, v, None if mask is None else mask[:, None, None])
    return rearrange(a, "b h n c -> b n (h c)")


def as_rows(x: Features) -> Float[Tensor, "b n _c"]:
    """A row for each position of a feature map."""
    return rearrange(x, "b c h w -> b (h w) c")


class Attention(nn.Module):
    """Self-attention over all positions, heads of `head` channels."""

    def __init__(self, channels: int, head: int = 64) -> None:
        super().__init__()
        self.heads = heads_of(channels, head)
        self.norm = norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Features) -> Features:
        q, k, v = as_rows(self.qkv(self.norm(x))).chunk(3, dim=-1)
        a = rearrange(attended(q, k, v, self.heads), "b (h w) c -> b c h w", h=x.shape[2])
        out: Tensor = x + self.out(a)
        return out


class CrossAttention(nn.Module):
    """Every position looks at the condition's tokens (2112.10752, section 3.3), heads of `head` channels."""

    def __init__(self, channels: int, tokens: int, head: int = 64) -> None:
        super().__init__()
        self.heads = heads_of(channels, head)
        self.norm, self.norm_tokens = norm(channels), nn.LayerNorm(tokens)
        self.q, self.kv = nn.Conv2d(channels, channels, 1), nn.Linear(tokens, 2 * channels)
        self.out = zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Features, tokens: Float[Tensor, "b n e"], mask: Bool[Tensor, "b n"] | None = None) -> Features:
        q = as_rows(self.q(self.norm(x)))
        k, v = self.kv(self.norm_tokens(tokens)).chunk(2, dim=-1)
        a = rearrange(attended(q, k, v, self.heads, mask), "b (h w) c -> b c h w", h=x.shape[2])
        out: Tensor = x + self.out(a)
        return out
