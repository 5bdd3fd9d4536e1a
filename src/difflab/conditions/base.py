"""What a condition is, what rows are conditioned on, and what a network is told of it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64, Shaped, UInt8
from torch import Tensor, nn

from difflab.errors import DifflabError


class Told(NamedTuple):
    """What a network is told of b rows; each part is absent where the condition has none of it."""

    vector: Float[Tensor, "b d"] | None = None  # into the adaptive norms, with the level
    tokens: Float[Tensor, "b n e"] | None = None  # into cross-attention
    mask: Bool[Tensor, "b n"] | None = None  # which tokens are there: at least one a row
    picture: Float[Tensor, "b k h w"] | None = None  # beside the channels of the input


NOTHING = Told()


class Widths(NamedTuple):
    """Of the parts of Told, features or channels; 0 where there is none of it."""

    vector: int = 0
    tokens: int = 0
    channels: int = 0


@dataclass(frozen=True)
class Given:
    """What b rows are conditioned on; `null` rows have no condition, whatever their values are.

    words: what a person calls each row's condition, "" where it has none.
    """

    values: Shaped[Tensor, "b ..."]
    null: Bool[Tensor, " b"]
    words: list[str]

    def __len__(self) -> int:
        return len(self.values)

    def to(self, device: torch.device | str) -> "Given":
        return replace(self, values=self.values.to(device), null=self.null.to(device))

    def at(self, index: Int64[Tensor, " m"]) -> "Given":
        """The rows at `index`, in that order."""
        return Given(self.values[index], self.null[index], [self.words[i] for i in index.tolist()])

    def dropped(self, share: int | float, generator: torch.Generator) -> "Given":
        """Each row null with this probability: what makes a network learn the unconditional guess as well."""
        drawn = torch.rand(len(self), generator=generator, device=generator.device) < share
        return replace(self, null=self.null | drawn.to(self.null.device))


class Condition(nn.Module, ABC):
    """Trained along with the network, averaged and saved with it.

    Args:
        told: the widths of what a network is told.
        dropout: the share of rows without their condition while training; what guidance compares with is learned
            from them (2207.12598, algorithm 1).

    asked_by: the setting by which a user says what to make, such as "label"; None where nothing can be said.
    """

    asked_by: ClassVar[str | None] = None

    def __init__(self, told: Mapping[str, int], dropout: int | float) -> None:
        super().__init__()
        if not 0 <= dropout <= 1:
            raise DifflabError(f"condition.dropout={dropout}: it is a share of the pictures, from 0 to 1, such as 0.1")
        self.widths, self.dropout = Widths(**told), dropout

    @abstractmethod
    def of_batch(self, batch: Mapping[str, Any]) -> Given:
        """What the pictures of a training batch (`x0`, `label`, `caption`) are conditioned on."""

    @abstractmethod
    def ask(self, words: Sequence[str]) -> Given:
        """What a user asks for, a row each; "" is no condition. Raises DifflabError for what it does not know."""

    def prepare(self, captions: Iterable[str]) -> None:
        """Be ready for these captions, all that training may read. Who does not need them leaves them unmade.

        Raises DifflabError where there are none and it needs some.
        """

    @abstractmethod
    def null(self, n: int) -> Given:
        """n rows without a condition."""

    @abstractmethod
    def forward(self, given: Given) -> Told:
        """What a network is told of each row."""

    def beside(self, given: Given, made: UInt8[Tensor, "b c h w"]) -> UInt8[Tensor, "b c h _w"]:
        """Pictures `made`, each to the right of the picture that it was made from, where there is one."""
        del given
        return made

    def kept(self, given: Given, made: UInt8[Tensor, "b c h w"]) -> dict[str, float]:
        """How well pictures `made` keep what they were made for, by the names of the measures."""
        del given, made
        return {}
