"""Attention over the positions of a feature map: to itself, and to the tokens of a condition."""

import math

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

Features = Float[Tensor, "b _c _h _w"]  # each may change on the way


def zero(module: nn.Conv2d) -> nn.Conv2d:
    """A layer that starts as the zero function, so that its block starts as the identity."""
    nn.init.zeros_(module.weight)
    assert module.bias is not None
    nn.init.zeros_(module.bias)
    return module


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(32, channels), channels)


def heads_of(features: int, head: int = 64) -> int:
    """One for every `head` features."""
    return max(1, features // head)


class Attention(nn.Module):
    """Self-attention over all positions, heads of `head` channels."""

    def __init__(self, channels: int, head: int = 64) -> None:
        super().__init__()
        self.heads = heads_of(channels, head)
        self.norm = norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Features) -> Features:
        b, c, h, w = x.shape
        qkv = self.qkv(self.norm(x)).permute(0, 2, 3, 1).reshape(b, h * w, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each b heads hw c/heads
        a = scaled_dot_product_attention(q, k, v)
        a = a.transpose(1, 2).reshape(b, h, w, c).permute(0, 3, 1, 2)  # channels_last again
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
        b, c, h, w = x.shape
        q = self.q(self.norm(x)).permute(0, 2, 3, 1).reshape(b, h * w, self.heads, -1).transpose(1, 2)
        kv = self.kv(self.norm_tokens(tokens)).reshape(b, -1, 2, self.heads, c // self.heads)
        k, v = kv.permute(2, 0, 3, 1, 4)  # each b heads n c/heads
        a = scaled_dot_product_attention(q, k, v, None if mask is None else mask[:, None, None])
        a = a.transpose(1, 2).reshape(b, h, w, c).permute(0, 3, 1, 2)  # channels_last again
        out: Tensor = x + self.out(a)
        return out
