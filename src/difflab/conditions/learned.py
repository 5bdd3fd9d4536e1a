"""Text read by a small transformer that is trained along with the denoiser: no download, no dictionary."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from difflab.conditions.base import Given, Told
from difflab.conditions.ngrams import numbers
from difflab.conditions.text import Text
from difflab.errors import DifflabError
from difflab.nets.attention import attended

Words = Float[Tensor, "b n e"]


class TextLearned(Text):
    """A caption as a vector and as tokens: one for the whole caption, then one for each of its words.

    A word is the mean of the embeddings of its n-grams, which are hashed into `buckets` rows; the first `words` words
    of a caption and the first `ngrams` n-grams of a word are read. A row without a condition is a caption without a
    word, which leaves the caption's own token alone: what that becomes is learned.
    """

    def __init__(
        self,
        told: Mapping[str, int],
        dropout: int | float,
        layers: int,
        heads: int,
        words: int,
        ngrams: int,
        buckets: int,
    ) -> None:
        super().__init__(told, dropout)
        width = self.widths.tokens
        if width < 1 or width % heads:
            raise DifflabError(
                f"condition.told.tokens={width} is not a multiple of condition.heads={heads}: change one"
            )
        self.words, self.ngrams, self.buckets = words, ngrams, buckets
        self.embed = nn.EmbeddingBag(buckets + 1, width, mode="mean", padding_idx=0)
        self.whole = nn.Parameter(torch.randn(width))
        self.place = nn.Parameter(0.1 * torch.randn(1 + words, width))
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.pool = nn.Linear(width, self.widths.vector)

    def read(self, captions: Sequence[str]) -> Int64[Tensor, "b words ngrams"]:
        return numbers(captions, self.words, self.ngrams, self.buckets)

    def null(self, n: int) -> Given:
        return Given(self.read([""] * n), torch.ones(n, dtype=torch.bool), [""] * n)

    def forward(self, given: Given) -> Told:
        values: Int64[Tensor, "b words ngrams"] = given.values.masked_fill(given.null[:, None, None], 0)
        b = len(values)
        x = self.embed(values.flatten(0, 1)).unflatten(0, (b, self.words))
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
        q, k, v = self.qkv(self.norm(x)).chunk(3, dim=-1)
        x = x + self.out(attended(q, k, v, self.heads, mask))
        out: Words = x + self.each(x)
        return out
