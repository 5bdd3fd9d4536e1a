"""Text read by a frozen encoder: of the condition only a projection is trained, and only that is saved."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from difflab.conditions.base import Condition, Given, Told
from difflab.conditions.encoded import Encoded
from difflab.conditions.encoders import Encoder
from difflab.progress import images_bar


class TextFrozen(Condition):
    """A caption as a vector, the projected mean of its tokens, and as tokens: one that is learned, then its own.

    What is given are the encoder's tokens themselves, with rows of zeros after the last. A row without a condition has
    none, which leaves the learned token and the learned bias of the vector; so has an empty prompt.
    """

    def __init__(self, encoder: Encoder, vector: int, tokens: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.encoded, self.dropout = Encoded(encoder), dropout
        self.norm = nn.LayerNorm(encoder.width)  # T5's tokens have a few numbers that dwarf all others
        self.each, self.pool = nn.Linear(encoder.width, tokens), nn.Linear(encoder.width, vector)
        self.whole = nn.Parameter(torch.randn(tokens))

    def prepare(self, captions: Iterable[str]) -> None:
        """Read the captions of a training set beforehand, once for all runs."""
        self.encoded.prepare(captions, images_bar)

    def of_batch(self, batch: dict[str, Any]) -> Given:
        return self.of_captions(batch["caption"])

    def of_captions(self, captions: Sequence[str]) -> Given:
        null = torch.tensor([not caption.strip() for caption in captions])
        return Given(self.encoded(captions).masked_fill(null[:, None, None], 0.0), null)

    def null(self, n: int, like: Tensor) -> Given:
        values = torch.zeros(n, 0, self.norm.normalized_shape[0], device=like.device)
        return Given(values, torch.ones(n, dtype=torch.bool, device=like.device))

    def forward(self, given: Given) -> Told:
        values: Float[Tensor, "b n e"] = given.values.masked_fill(given.null[:, None, None], 0.0)
        there = (values != 0).any(2, keepdim=True)
        own = self.norm(values) * there
        mean = own.sum(1) / there.sum(1).clamp(min=1)
        tokens = torch.cat([self.whole.expand(len(own), 1, -1), self.each(own) * there], dim=1)
        mask = torch.cat([there.new_ones(len(own), 1), there[:, :, 0]], dim=1)
        return Told(vector=self.pool(mean), tokens=tokens, mask=mask)
