"""DDPM's ancestral sampling: each step a draw from q(x' | x), as wide as one of three variances (see variance.py)."""

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from difflab.denoiser import Denoise, Pictures
from difflab.errors import DifflabError
from difflab.grids import Nodes
from difflab.samplers.base import Levels, Noise, Step
from difflab.variance import learned, posterior, posterior_mean, upper


def ddpm(denoise: Denoise, x: Pictures, nodes: Nodes, noise: Noise, variance: str = "posterior") -> Iterator[Step]:
    """DDPM (2006.11239) algorithm 2 between any two levels, first order; no noise in the step to the clean picture.

    `variance` is posterior (beta tilde; the same as ddim with eta = 1), upper (beta) or learned (iDDPM, 2102.09672,
    eq. 15). Raises DifflabError for another word, and where the variance of a network is asked for that has none.
    """
    guess = _guess(denoise, variance)
    for levels in nodes.steps():
        x0, var = guess(x, levels)
        x = posterior_mean(x, x0, *levels)
        if levels[3] > 0:
            x = x + var.sqrt() * noise(x)
        yield Step(x, x0)


def _guess(denoise: Denoise, variance: str) -> Callable[[Tensor, Levels], tuple[Tensor, Tensor]]:
    """(x, levels) -> the guess of x0 and the variance of the step."""
    if variance == "learned":
        return _learned_guess(denoise)
    fixed = {"posterior": posterior, "upper": upper}
    if variance not in fixed:
        raise DifflabError(
            f"sampler.variance={variance} is unknown to sampler 'ddpm': choose {', '.join(fixed)}, learned"
        )
    return lambda x, levels: (denoise(x, *levels[:2]), fixed[variance](*levels))


def _learned_guess(denoise: Any) -> Callable[[Tensor, Levels], tuple[Tensor, Tensor]]:
    if not getattr(denoise, "learns_variance", hasattr(denoise, "with_variance")):
        raise DifflabError(
            "sampler 'ddpm' with variance=learned: the network has no variance head; train with "
            "net.learn_variance=true objective=hybrid, or set sampler.variance=posterior"
        )

    def guess(x: Tensor, levels: Levels) -> tuple[Tensor, Tensor]:
        x0, fraction = denoise.with_variance(x, *levels[:2])
        return x0, learned(fraction, *levels)

    return guess
