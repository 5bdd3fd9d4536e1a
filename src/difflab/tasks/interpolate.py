"""From one picture to another, along the noise that they come from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from difflab.denoiser import Denoise, Pictures
from difflab.errors import DifflabError
from difflab.generation import Generation, Start
from difflab.grids import Nodes
from difflab.rng import SampleNoise
from difflab.samplers import pure_noise
from difflab.tasks.base import Edit, Inputs, Task, check_deterministic
from difflab.tasks.invert import inverted

Ends = Callable[[Denoise, Tensor], Tensor]
"""(denoise, a picture like those wanted) -> the two states at the first node."""


@dataclass(frozen=True)
class Interpolate(Task):
    """`frames` pictures from the first sample of one seed to that of another, or between two pictures, inverted."""

    frames: int
    seeds: Sequence[Any]  # a configuration's list may hold anything

    needs: ClassVar[Sequence[str]] = ()
    may_have: ClassVar[Sequence[str]] = ("image", "to")
    is_a_film: ClassVar[bool] = True

    def __post_init__(self) -> None:
        whole = all(isinstance(seed, int) for seed in self.seeds)
        if len(self.seeds) != 2 or not whole or self.seeds[0] == self.seeds[1]:
            raise DifflabError(f"task.seeds={list(self.seeds)}: two different whole numbers, such as [0,1]")
        if self.frames < 2:
            raise DifflabError(f"task.frames={self.frames}: the way from one picture to another has 2 or more")

    def count(self, n: int | None) -> int:
        if n is not None:
            raise DifflabError(f"n={n}: task=interpolate makes task.frames={self.frames} pictures; leave n out")
        return self.frames

    def __call__(self, plain: Generation, given: Inputs) -> Edit:
        check_deterministic(plain, "task=interpolate")
        if given.image is None and given.to is None:
            return Edit(replace(plain, start=self._between(_of_seeds(plain.nodes, self.seeds))), {})
        if given.image is None or given.to is None:
            raise DifflabError("task=interpolate goes from image= to to=: name both, or neither for task.seeds=[0,1]")
        if plain.asked is not None:  # two pictures would need two conditions, and each frame one of its own
            raise DifflabError("task=interpolate between two pictures can't be told what to make: leave the words out")
        found = self._between(_of_pictures(plain, torch.stack([given.image, given.to])))
        return Edit(replace(plain, start=found), {"from": given.image, "to": given.to})

    def _between(self, ends: Ends) -> Start:
        def start(denoise: Denoise, noise: SampleNoise, like: Pictures) -> Pictures:
            first, last = ends(denoise, like[:1])
            return torch.stack([slerp(first, last, i / (self.frames - 1)) for i in noise.indices])

        return start


def _of_seeds(nodes: Nodes, seeds: Sequence[int]) -> Ends:
    """Where `difflab sample` begins the first picture of each seed."""
    return lambda denoise, one: torch.cat([pure_noise(nodes, SampleNoise(seed, [0]), one) for seed in seeds])


def _of_pictures(plain: Generation, images: UInt8[Tensor, "2 c h w"]) -> Ends:
    return lambda denoise, one: inverted(denoise, plain.nodes, plain.encoded(images, one))


def slerp(a: Float[Tensor, "*shape"], b: Float[Tensor, "*shape"], share: float) -> Float[Tensor, "*shape"]:
    """On the great circle from a to b: noise between two noises is as long as they are, on a straight line shorter.

    Shoemake, "Animating rotation with quaternion curves" (1985), section 3.3. At 0 it is a, at 1 it is b, bit for bit.
    """
    cosine = (a.flatten() @ b.flatten() / (a.norm() * b.norm())).clamp(-1, 1).double()
    angle = cosine.acos()
    if angle.sin() < 1e-6:  # one direction: the circle is a line
        return (1 - share) * a + share * b
    return ((1 - share) * angle).sin() / angle.sin() * a + (share * angle).sin() / angle.sin() * b
