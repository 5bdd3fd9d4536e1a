"""Labels: a picture of one class of the data."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from difflab.conditions.base import Condition, Given, Told
from difflab.errors import DifflabError, near


class Label(Condition):
    """A learned vector for each of `classes`, and one for no label at all."""

    asked_by = "label"

    def __init__(self, classes: Sequence[str] | None, told: Mapping[str, int], dropout: int | float) -> None:
        super().__init__(told, dropout)
        if not classes:
            raise DifflabError(
                "condition=label: the data set has no classes; name them in data.classes, or set condition=none"
            )
        self.classes = list(classes)
        self.embedding = nn.Embedding(len(classes) + 1, self.widths.vector)

    def of_batch(self, batch: Mapping[str, Any]) -> Given:
        if "label" not in batch:
            raise DifflabError("condition=label: the pictures have no labels; choose another data set or condition")
        labels = batch["label"]
        return Given(labels, torch.zeros_like(labels, dtype=torch.bool), [self.classes[i] for i in labels.tolist()])

    def ask(self, words: Sequence[str]) -> Given:
        numbers = torch.tensor([self._number(word) for word in words])
        null = torch.tensor([not word for word in words])
        return Given(numbers, null, ["" if no else self.classes[i] for i, no in zip(numbers, null, strict=True)])

    def null(self, n: int) -> Given:
        return Given(torch.zeros(n, dtype=torch.long), torch.ones(n, dtype=torch.bool), [""] * n)

    def forward(self, given: Given) -> Told:
        return Told(vector=self.embedding(torch.where(given.null, len(self.classes), given.values)))

    def _number(self, word: str) -> int:
        """Of a class by its name in any case, or by its number; 0 for "", which is null."""
        names = [name.lower() for name in self.classes]
        if word.lower() in ("", *names):
            return names.index(word.lower()) if word else 0
        if word.isdecimal() and int(word) < len(names):
            return int(word)
        raise DifflabError(
            f"label={word} is no class of this run{near(word, self.classes)}: it knows {', '.join(self.classes)}"
        )
