"""No condition: pictures of everything that the data holds."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from difflab.conditions.base import NOTHING, Condition, Given, Told
from difflab.errors import DifflabError


class NoCondition(Condition):
    def __init__(self, told: Mapping[str, int], dropout: int | float = 0.0) -> None:
        super().__init__(told, dropout)

    def of_batch(self, batch: Mapping[str, Any]) -> Given:
        return self.null(len(batch["x0"]))

    def ask(self, words: Sequence[str]) -> Given:
        raise DifflabError(
            f"'{words[0]}' is asked of a run without a condition: train one with condition=label or "
            "condition=text_learned"
        )

    def null(self, n: int) -> Given:
        return Given(torch.zeros(n, 0), torch.ones(n, dtype=torch.bool), [""] * n)

    def forward(self, given: Given) -> Told:
        return NOTHING
