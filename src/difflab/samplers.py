"""Samplers: from noise to pictures in (alpha, sigma) alone; a prime marks the next node.

Each is a generator of its steps, so that films and callbacks look on; `run` goes to the end. Noise comes in
as a callable (see rng.SampleNoise), and a deterministic sampler never draws.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from difflab.denoiser import Denoise, Pictures
from difflab.grids import Nodes

Noise = Callable[[Tensor], Tensor]


class Step(NamedTuple):
    x: Pictures  # the state at the next node
    x0: Pictures  # the guess of the clean picture that led there


Sampler = Callable[[Denoise, Tensor, Nodes, Noise], Iterator[Step]]


def ddim(denoise: Denoise, x: Pictures, nodes: Nodes, noise: Noise, eta: float = 0.0) -> Iterator[Step]:
    """DDIM (2010.02502) eq. 12 and 16, first order.

    eta = 0 is also Karras' Euler and rectified flow's Euler step; eta = 1 is DDPM's ancestral step with the
    posterior variance (2006.11239) eq. 7.
    """
    for alpha, sigma, alpha_, sigma_ in nodes.steps():
        x0 = denoise(x, alpha, sigma)
        s = eta * sigma_ * (1 - (sigma_ * alpha / (alpha_ * sigma)) ** 2).clamp(min=0).sqrt()
        x = alpha_ * x0 + (sigma_**2 - s**2).sqrt() * (x - alpha * x0) / sigma
        if s > 0:
            x = x + s * noise(x)
        yield Step(x, x0)


def heun(denoise: Denoise, x: Pictures, nodes: Nodes, noise: Noise) -> Iterator[Step]:
    """Heun's second order method: EDM (2206.00364) algorithm 1, two evaluations a step but for the last.

    The correction is left out where sigma_hat is infinite (alpha = 0) or the next level is clean.
    """
    del noise  # deterministic
    for alpha, sigma, alpha_, sigma_ in nodes.steps():
        x0 = denoise(x, alpha, sigma)
        x = _euler(x, x0, alpha, sigma, alpha_, sigma_)
        if alpha > 0 and sigma_ > 0:
            x0_ = denoise(x, alpha_, sigma_)
            x = x + (alpha_**2 * sigma / (alpha * sigma_) - alpha_) / 2 * (x0_ - x0)
        yield Step(x, x0)


def dpmpp_2m(denoise: Denoise, x: Pictures, nodes: Nodes, noise: Noise) -> Iterator[Step]:
    """DPM-Solver++(2M) (2211.01095) algorithm 2: second order from the memory of the step before.

    h is the change of logsnr/2; where it is infinite (from alpha = 0, or to sigma = 0) the step is Euler's.
    """
    del noise  # deterministic
    x0_before, h_before = x, torch.tensor(0.0)
    for alpha, sigma, alpha_, sigma_ in nodes.steps():
        x0 = denoise(x, alpha, sigma)
        h = (alpha_ / sigma_).log() - (alpha / sigma).log()
        guess = x0
        if h_before > 0 and torch.isfinite(h):
            guess = x0 + h / (2 * h_before) * (x0 - x0_before)
        x = _euler(x, guess, alpha, sigma, alpha_, sigma_)
        x0_before, h_before = x0, h
        yield Step(x, x0)


def _euler(x: Pictures, x0: Pictures, alpha: Tensor, sigma: Tensor, alpha_: Tensor, sigma_: Tensor) -> Pictures:
    """The exact solution for a constant guess x0; finite at alpha = 0 and at sigma' = 0."""
    return (sigma_ / sigma) * x + (alpha_ - alpha * sigma_ / sigma) * x0


def run(sampler: Sampler, denoise: Denoise, nodes: Nodes, noise: Noise, like: Pictures) -> Iterator[Step]:
    """The steps from pure noise of the shape, dtype and device of `like`."""
    return sampler(denoise, nodes.sigma[0] * noise(like), nodes, noise)


def last(steps: Iterator[Step]) -> Pictures:
    """The finished pictures."""
    *_, step = steps
    return step.x
