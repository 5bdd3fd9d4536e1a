"""What samples are asked to be: the words of a user, or the conditions of training pictures."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int64
from omegaconf import DictConfig, ListConfig
from torch import Tensor

from difflab.conditions.base import Condition, Given
from difflab.conditions.none import NoCondition
from difflab.data.image_data import ImageData, from_config
from difflab.data.images import Images
from difflab.data.stream import as_batch
from difflab.errors import DifflabError
from difflab.rng import generator
from difflab.runs.directory import user_path

SAYING = ("label", "prompt", "prompts", "image")


class Asked(ABC):
    """The condition of each sample, a function of (seed, index) alone. `name` is what protocols call it."""

    name: str

    @abstractmethod
    def __call__(self, seed: int, indices: Sequence[int]) -> Given: ...


@dataclass(frozen=True)
class InTurn(Asked):
    """Sample i is asked to be row i modulo their number."""

    rows: Given

    @property
    def name(self) -> str:  # type: ignore[override]  # an attribute there
        words = list(dict.fromkeys(word or "none" for word in self.rows.words))
        return ", ".join(words[:3]) + (f" and {len(words) - 3} more" if len(words) > 3 else "")

    def __call__(self, seed: int, indices: Sequence[int]) -> Given:
        return self.rows.at(torch.as_tensor(indices) % len(self.rows))


@dataclass(frozen=True)
class OfPictures(Asked):
    """Sample i has the condition of one of `images`."""

    condition: Condition
    images: Images
    name: str

    @abstractmethod
    def at(self, seed: int, indices: Sequence[int]) -> Int64[Tensor, " n"]:
        """The number of the picture of each sample."""

    def __call__(self, seed: int, indices: Sequence[int]) -> Given:
        return self.condition.of_batch(as_batch(self.images.select(self.at(seed, indices))))


class Drawn(OfPictures):
    """Drawn by (seed, i): conditions as often as the data has them."""

    def at(self, seed: int, indices: Sequence[int]) -> Int64[Tensor, " n"]:
        n = len(self.images)
        return torch.tensor([int(torch.randint(n, (), generator=generator(seed, "drawn", i))) for i in indices])


class Each(OfPictures):
    """Picture i modulo their number."""

    def at(self, seed: int, indices: Sequence[int]) -> Int64[Tensor, " n"]:
        return torch.as_tensor(indices) % len(self.images)


def drawn(condition: Condition, data: ImageData) -> Asked | None:
    """The conditions of training pictures; None for a run without a condition."""
    if isinstance(condition, NoCondition):
        return None
    return Drawn(condition, data.train, f"drawn from {data.name}/train ({data.train.digest()[:8]})")


Asks = Callable[[DictConfig, Condition], Asked | None]
"""Of a run's configuration and its condition: what its samples are asked to be."""


def as_trained(cfg: DictConfig, condition: Condition) -> Asked | None:
    """`drawn` from the training pictures of a run's configuration, which are loaded only where they are needed."""
    return drawn(condition, from_config(cfg.data, batch_size=1, seed=0))


def asked_for(cfg: DictConfig, own: DictConfig, condition: Condition, keys: Sequence[str] = SAYING) -> Asked | None:
    """What a command asks of a run: its label=, prompt=, prompts= or image=, in turn, else as it was trained.

    cfg: the command's; own: the run's; keys: those of the command that say what to make.
    Raises DifflabError for words that the run does not know.
    """
    given = {key: cfg[key] for key in keys if cfg[key] is not None}
    if not given:
        return as_trained(own, condition)
    if len(given) > 1:
        raise DifflabError(f"{' and '.join(given)} both say what to make: give one of them")
    ((key, value),) = given.items()
    if condition.asked_by not in (None, key.removesuffix("s")):
        raise DifflabError(f"{key}={value}: this run is not asked by {key}=, but by {condition.asked_by}=")
    return InTurn(condition.ask(_lines(str(value)) if key == "prompts" else _listed(key, value)))


def _listed(key: str, value: Any) -> list[str]:
    if isinstance(value, ListConfig) and not value:
        raise DifflabError(f"{key}=[]: say one thing or more to make, or leave it out")
    return [str(word) for word in (value if isinstance(value, ListConfig) else [value])]


def _lines(name: str) -> list[str]:
    try:
        lines = [line.strip() for line in user_path(name).read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DifflabError(f"prompts={name} can't be read ({error}): give a text file with a prompt a line") from None
    if not any(lines):
        raise DifflabError(f"prompts={name} is empty: give a text file with a prompt a line")
    return [line for line in lines if line]
