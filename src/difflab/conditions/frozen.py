"""Text read by a frozen encoder: of the condition only a projection is trained, and only that is saved."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from difflab.conditions.base import Given, Told
from difflab.conditions.encoded import Encoded
from difflab.conditions.encoders import Encoder
from difflab.conditions.text import Text
from difflab.progress import images_bar


class TextFrozen(Text):
    """A caption as a vector, the projected mean of its tokens, and as tokens: one that is learned, then its own.

    What is given are the encoder's tokens themselves, with rows of zeros after the last. A row without a condition has
    none, which leaves the learned token and the learned bias of the vector.
    """

    def __init__(self, encoder: Encoder, told: Mapping[str, int], dropout: int | float) -> None:
        super().__init__(told, dropout)
        self.encoded = Encoded(encoder)
        self.norm = nn.LayerNorm(encoder.width)  # T5's tokens have a few numbers that dwarf all others
        self.each = nn.Linear(encoder.width, self.widths.tokens)
        self.pool = nn.Linear(encoder.width, self.widths.vector)
        self.whole = nn.Parameter(torch.randn(self.widths.tokens))

    def prepare(self, captions: Iterable[str]) -> None:
        super().prepare(captions)
        self.encoded.prepare(captions, images_bar)

    def read(self, captions: Sequence[str]) -> Float[Tensor, "b n e"]:
        return self.encoded(captions)

    def null(self, n: int) -> Given:
        values = torch.zeros(n, 0, self.encoded.encoder.width)
        return Given(values, torch.ones(n, dtype=torch.bool), [""] * n)

    def forward(self, given: Given) -> Told:
        values: Float[Tensor, "b n e"] = given.values.masked_fill(given.null[:, None, None], 0.0)
        there = (values != 0).any(2, keepdim=True)
        own = self.norm(values) * there
        mean = own.sum(1) / there.sum(1).clamp(min=1)
        tokens = torch.cat([self.whole.expand(len(own), 1, -1), self.each(own) * there], dim=1)
        mask = torch.cat([there.new_ones(len(own), 1), there[:, :, 0]], dim=1)
        return Told(vector=self.pool(mean), tokens=tokens, mask=mask)
