"""What all conditions on text have in common: captions, and the words of a user."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from difflab.conditions.base import Condition, Given
from difflab.conditions.ngrams import words_of
from difflab.errors import DifflabError


def _no_captions() -> DifflabError:
    return DifflabError(
        "a condition on text needs captions, which the pictures have not: choose a data set with "
        "data.captions=true, such as data=emoji, or another condition"
    )


class Text(Condition):
    """A caption without a letter or a digit is no condition; so is an empty prompt."""

    asked_by = "prompt"

    @abstractmethod
    def read(self, captions: Sequence[str]) -> Shaped[Tensor, "b ..."]:
        """What `forward` is given of each caption; a function of the caption alone."""

    def prepare(self, captions: Iterable[str]) -> None:
        if not captions:
            raise _no_captions()

    def of_batch(self, batch: Mapping[str, Any]) -> Given:
        if "caption" not in batch:
            raise _no_captions()
        return self._given(batch["caption"])

    def ask(self, words: Sequence[str]) -> Given:
        for prompt in words:
            if prompt and not words_of(prompt):
                raise DifflabError(
                    f"prompt={prompt}: there is no letter and no digit in it; say what to make, or '' for anything"
                )
        return self._given(words)

    def _given(self, captions: Sequence[str]) -> Given:
        null = torch.tensor([not words_of(caption) for caption in captions])
        return Given(self.read(captions), null, ["" if no else c for c, no in zip(captions, null, strict=True)])
