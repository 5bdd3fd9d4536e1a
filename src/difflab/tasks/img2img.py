"""Versions of a picture: noised part of the way and brought back."""

from dataclasses import dataclass, replace
from typing import ClassVar

from difflab.denoiser import Denoise, Pictures
from difflab.errors import DifflabError
from difflab.generation import Generation
from difflab.grids import Nodes
from difflab.samplers import Noise
from difflab.tasks.base import Edit, Inputs, Picture, Task


@dataclass(frozen=True)
class Img2Img(Task):
    """SDEdit (2108.01073): the last `strength` of the grid's steps, from the picture noised to where they begin.

    Strength 0 is the picture (what the autoencoder makes of it, for a run on latents), strength 1 a sample that knows
    nothing of it.
    """

    strength: int | float

    begins_as: ClassVar[str | None] = "noised"

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise DifflabError(
                f"task.strength={self.strength}: a share of the way from 0 (the picture stays) to 1 (it is forgotten)"
            )

    def __call__(self, plain: Generation, given: Inputs) -> Edit:
        assert given.image is not None
        return Edit(noised(plain, given.image, self.strength), {"before": given.image})


class Variations(Img2Img):
    """The same, in several versions."""

    def count(self, n: int | None) -> int:
        return 8 if n is None else n


def noised(plain: Generation, image: Picture, strength: int | float) -> Generation:
    """The generation that begins at `image`, noised to the node with a share `strength` of the steps ahead."""
    if strength == 1:
        return plain
    first = len(plain.nodes) - round(strength * len(plain.nodes))
    nodes = Nodes(plain.nodes.alpha[first:], plain.nodes.sigma[first:])

    def start(denoise: Denoise, noise: Noise, like: Pictures) -> Pictures:
        return nodes.alpha[0] * plain.encoded(image[None], like) + nodes.sigma[0] * noise(like)

    return replace(plain, nodes=nodes, start=start)
