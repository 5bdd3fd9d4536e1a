"""What a sampler is, the step that most of them take, and how one is run over a grid."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from torch import Tensor

from difflab.denoiser import Denoise, Pictures
from difflab.grids import Nodes

Noise = Callable[[Tensor], Tensor]

Levels = tuple[Tensor, Tensor, Tensor, Tensor]
"""alpha, sigma, alpha' and sigma' of a step, 0-d float64."""


class Step(NamedTuple):
    x: Pictures  # the state at the next node
    x0: Pictures  # the guess of the clean picture that led there


Sampler = Callable[[Denoise, Tensor, Nodes, Noise], Iterator[Step]]


def euler(x: Pictures, x0: Pictures, alpha: Tensor, sigma: Tensor, alpha_: Tensor, sigma_: Tensor) -> Pictures:
    """The exact solution for a constant guess x0; finite at alpha = 0 and at sigma' = 0."""
    return (sigma_ / sigma) * x + (alpha_ - alpha * sigma_ / sigma) * x0


def is_noise(alpha: Tensor, sigma: Tensor) -> bool:
    """Nothing of the picture is left: alpha is 0 but for rounding, as cos(pi/2) is."""
    return bool(alpha < 1e-12 * sigma)


def ddim_step(
    x: Pictures,
    x0: Pictures,
    alpha: Tensor,
    sigma: Tensor,
    alpha_: Tensor,
    sigma_: Tensor,
    noise: Noise,
    eta: int | float,
) -> Pictures:
    """DDIM (2010.02502) eq. 12 and 16: Euler's for eta = 0, a draw from the posterior q(x' | x, x0) for eta = 1."""
    s = eta * sigma_ * (1 - (sigma_ * alpha / (alpha_ * sigma)) ** 2).clamp(min=0).sqrt()
    x = alpha_ * x0 + (sigma_**2 - s**2).sqrt() * (x - alpha * x0) / sigma
    return x + s * noise(x) if s > 0 else x


def pure_noise(nodes: Nodes, noise: Noise, like: Pictures) -> Pictures:
    """The state at the first node that knows of no picture, in the shape, dtype and device of `like`."""
    return nodes.sigma[0] * noise(like)


def run(
    sampler: Sampler, denoise: Denoise, nodes: Nodes, noise: Noise, like: Pictures, start: Pictures | None = None
) -> Iterator[Step]:
    """The steps from `start`, the state at the first node, or from pure noise like `like`: one for each of the grid.

    The sampler goes down every descent of the grid on its own; a step up to a noisier node is diffusion.
    """
    x = x0 = pure_noise(nodes, noise, like) if start is None else start
    before: Nodes | None = None
    for down in nodes.descents():
        if before is not None:
            x = diffuse(x, before.alpha[-1], before.sigma[-1], down.alpha[0], down.sigma[0], noise)
            yield Step(x, x0)
        for step in sampler(denoise, x, down, noise):
            x, x0 = step
            yield step
        before = down


def diffuse(x: Pictures, alpha: Tensor, sigma: Tensor, alpha_: Tensor, sigma_: Tensor, noise: Noise) -> Pictures:
    """One step of the Markov chain q(x' | x) to a noisier level: DDPM (2006.11239) eq. 2 between any two levels."""
    keep = alpha_ / alpha
    return keep * x + (sigma_**2 - (keep * sigma) ** 2).clamp(min=0).sqrt() * noise(x)


def last(steps: Iterator[Step]) -> Pictures:
    """The finished pictures."""
    *_, step = steps
    return step.x
