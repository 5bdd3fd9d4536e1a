"""The noise that a picture comes from: the deterministic way, walked up."""

import math
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, ClassVar

from jaxtyping import UInt8
from torch import Tensor

from difflab.denoiser import Denoise, Pictures
from difflab.errors import DifflabError
from difflab.generation import Generation
from difflab.grids import Nodes
from difflab.psnr import psnr, squared_errors
from difflab.samplers import Noise, heun
from difflab.tasks.base import Edit, Inputs, Picture, Task, check_deterministic

STARTS = 10  # evaluations for the state at the last noisy node


@dataclass(frozen=True)
class Invert(Task):
    """The picture walked up to its noise and down again: what comes back, and how near it is."""

    begins_as: ClassVar[str | None] = "its noise"

    def count(self, n: int | None) -> int:
        if n is not None and n > 1:
            raise DifflabError(f"n={n}: task=invert has one result, since it draws no noise; leave n out")
        return 1

    def __call__(self, plain: Generation, given: Inputs) -> Edit:
        assert given.image is not None
        check_deterministic(plain, "task=invert")
        return Edit(inverting(plain, given.image), {"before": given.image})

    def figures(self, given: Inputs, results: UInt8[Tensor, "n c h w"]) -> dict[str, Any]:
        assert given.image is not None
        mse = squared_errors(results[:1], given.image[None]).item()
        return {"psnr_db": psnr(mse), "rms_levels": math.sqrt(mse)}


def inverting(plain: Generation, image: Picture, under: Denoise | None = None) -> Generation:
    """The generation from the noise of `image`, found under the denoiser that samples, or under another.

    Another one is prompt-to-edit: the noise that the old words make the picture of, and the new words on the way down.
    """

    def start(denoise: Denoise, noise: Noise, like: Pictures) -> Pictures:
        found = inverted(under or denoise, plain.nodes, plain.encoded(image[None], like))
        return found.expand_as(like)

    return replace(plain, start=start)


def inverted(denoise: Denoise, nodes: Nodes, x0: Pictures) -> Pictures:
    """The state at the first node from which the way down leads to x0: DDIM inversion (2010.02502, section 4.3).

    Of second order, as heun goes up the nodes as well as down.
    """
    x = before_the_last_step(denoise, nodes, x0)
    up = Nodes(nodes.alpha[:-1].flip(0), nodes.sigma[:-1].flip(0))
    *_, top = chain([x], (step.x for step in heun(denoise, x, up, lambda like: like)))
    return top


def before_the_last_step(denoise: Denoise, nodes: Nodes, x0: Pictures) -> Pictures:
    """The state at the last noisy node whose guess is x0, where the step to the clean picture ends, by iteration.

    There is no step up from the clean picture itself: (x - alpha x0)/sigma is 0/0 there.
    """
    alpha, sigma = nodes.alpha[-2], nodes.sigma[-2]
    x = alpha * x0
    for _ in range(STARTS):
        x = x + alpha * (x0 - denoise(x, alpha, sigma))
    return x
