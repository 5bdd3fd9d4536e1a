"""Samplers without a memory: DDIM and Heun."""

from collections.abc import Iterator

from difflab.denoiser import Denoise, Pictures
from difflab.grids import Nodes
from difflab.samplers.base import Noise, Step, ddim_step, euler, is_noise


def ddim(denoise: Denoise, x: Pictures, nodes: Nodes, noise: Noise, eta: int | float = 0.0) -> Iterator[Step]:
    """DDIM (2010.02502), first order.

    eta = 0 is also Karras' Euler and rectified flow's Euler step; eta = 1 is DDPM's ancestral step with the
    posterior variance (2006.11239) eq. 7, and k-diffusion's Euler ancestral.
    """
    for levels in nodes.steps():
        x0 = denoise(x, *levels[:2])
        x = ddim_step(x, x0, *levels, noise, eta)
        yield Step(x, x0)


def heun(denoise: Denoise, x: Pictures, nodes: Nodes, noise: Noise) -> Iterator[Step]:
    """Heun's second order method: EDM (2206.00364) algorithm 1, two evaluations a step but for the last.

    The correction is left out where sigma_hat is infinite (alpha = 0) or the next level is clean.
    """
    del noise  # deterministic
    for alpha, sigma, alpha_, sigma_ in nodes.steps():
        x0 = denoise(x, alpha, sigma)
        x = euler(x, x0, alpha, sigma, alpha_, sigma_)
        if sigma_ > 0 and not is_noise(alpha, sigma):
            x0_ = denoise(x, alpha_, sigma_)
            x = x + (alpha_**2 * sigma / (alpha * sigma_) - alpha_) / 2 * (x0_ - x0)
        yield Step(x, x0)
