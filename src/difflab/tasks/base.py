"""What a task is: a start, a grid and a denoiser wrapper over a plain generation, so that any sampler runs it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from jaxtyping import Bool, UInt8
from torch import Tensor

from difflab.denoiser import Denoise
from difflab.errors import DifflabError
from difflab.generation import Generation

Picture = UInt8[Tensor, "c h w"]


class Inputs(NamedTuple):
    """What an edit is given: a picture, where it is to be filled, a second picture to go to.

    under: the denoiser that is told what the picture shows, where a task wants to know.
    """

    image: Picture | None = None
    mask: Bool[Tensor, "h w"] | None = None
    to: Picture | None = None
    under: Denoise | None = None


class Edit(NamedTuple):
    """What is run, and what is shown on the left of its results, by its name."""

    generation: Generation
    beside: Mapping[str, Picture]


class Task(ABC):
    """A way to use a run on pictures.

    needs: the inputs it can't do without. may_have: those it takes besides.
    begins_as: how the first state of the way is called on the sheet; None: it is not shown.
    is_a_film: the results are the frames of one.
    of_pixels: it knows what is measured of pixels, and can't be done by a run on latents.
    """

    needs: ClassVar[Sequence[str]] = ("image",)
    may_have: ClassVar[Sequence[str]] = ()
    begins_as: ClassVar[str | None] = None
    is_a_film: ClassVar[bool] = False
    of_pixels: ClassVar[bool] = False

    def count(self, n: int | None) -> int:
        """How many results are made where `n` are asked for (None: it is not said)."""
        return 1 if n is None else n

    def image_shape(self, shape: Sequence[int]) -> tuple[int, int | None, int | None]:
        """(c, h, w) of the picture for a run of pictures of `shape`; None: any number.

        Raises DifflabError where the task can't be done with such a run.
        """
        c, h, w = shape
        return c, h, w

    @abstractmethod
    def __call__(self, plain: Generation, given: Inputs) -> Edit:
        """The edit of what is given, by a run's plain generation. Raises DifflabError where it makes no sense."""

    def figures(self, given: Inputs, results: UInt8[Tensor, "n c h w"]) -> dict[str, Any]:
        """What is measured on the results."""
        return {}


def check_deterministic(generation: Generation, who: str) -> None:
    """Raises DifflabError for a sampler or a grid that draws noise on the way."""
    if not generation.is_deterministic():
        names = [generation.protocol.get(key) for key in ("sampler", "grid")]
        raise DifflabError(
            f"{who} needs a way without noise, and {names[0]} on {names[1]} draws some: take sampler=heun, and a grid "
            "that only goes down such as grid=karras"
        )
