"""Text read by a small transformer that is trained along with the denoiser: no download, no dictionary."""

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from difflab.conditions.base import Condition, Given, Told
from difflab.conditions.ngrams import numbers

Words = Float[Tensor, "b n e"]


class TextLearned(Condition):
    """A caption as a vector and as tokens: one for the whole caption, then one for each of its words.

    A word is the mean of the embeddings of its n-grams, which are hashed into `buckets` rows. Of a caption the first
    `words` words are read. A row without a condition is a caption without a word, which leaves the caption's own token
    alone: what that becomes is learned, and an empty prompt is no condition.
    """

    def __init__(
        self,
        vector: int,
        tokens: int,
        channels: int,
        layers: int,
        heads: int,
        words: int,
        ngrams: int,
        buckets: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.words, self.ngrams, self.buckets, self.dropout = words, ngrams, buckets, dropout
        self.embed = nn.EmbeddingBag(buckets + 1, tokens, mode="mean", padding_idx=0)
        self.whole = nn.Parameter(torch.randn(tokens))
        self.place = nn.Parameter(0.1 * torch.randn(1 + words, tokens))
        self.layers = nn.ModuleList(Layer(tokens, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(tokens)
        self.pool = nn.Linear(tokens, vector)

    def of_batch(self, batch: dict[str, Any]) -> Given:
        return self.of_captions(batch["caption"])

    def of_captions(self, captions: Sequence[str]) -> Given:
        values = numbers(captions, self.words, self.ngrams, self.buckets)
        return Given(values, ~values.flatten(1).any(1))

    def null(self, n: int, like: Tensor) -> Given:
        values = torch.zeros(n, self.words, self.ngrams, dtype=torch.int64, device=like.device)
        return Given(values, torch.ones(n, dtype=torch.bool, device=like.device))

    def forward(self, given: Given) -> Told:
        values: Int64[Tensor, "b words ngrams"] = given.values.masked_fill(given.null[:, None, None], 0)
        b, words, _ = values.shape
        x = self.embed(values.flatten(0, 1)).unflatten(0, (b, words))
        x = torch.cat([self.whole.expand(b, 1, -1), x], dim=1) + self.place
        mask = torch.cat([values.new_ones(b, 1), values[:, :, 0]], dim=1) > 0
        for layer in self.layers:
            x = layer(x, mask)
        x = self.norm(x) * mask[:, :, None]
        return Told(vector=self.pool(x[:, 0]), tokens=x, mask=mask)


class Layer(nn.Module):
    """Attention among the words that are there, then a network on each alone; pre-norm (2002.04745)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.each = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Words, mask: Bool[Tensor, "b n"]) -> Words:
        q, k, v = rearrange(self.qkv(self.norm(x)), "b n (qkv h e) -> qkv b h n e", qkv=3, h=self.heads)
        a = scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None])
        x = x + self.out(rearrange(a, "b h n e -> b n (h e)"))
        out: Words = x + self.each(x)
        return out
