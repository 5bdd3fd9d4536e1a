"""Multistep samplers: one evaluation a step, and a better guess out of the guesses before.

Euler's step is exact for a constant guess. For one that moves, the exact step is Euler's with a weighted mean of the
guess over the step, and these samplers take that of the polynomial through the last guesses. From

    x'/sigma' = x/sigma + integral of x0 d(alpha/sigma)  and  x'/alpha' = x/alpha + integral of eps d(sigma/alpha)

DPM-Solver++ and UniPC take the left and guess x0, DEIS and LMS the right and guess eps. Where the variable is infinite
(from alpha = 0, or to sigma' = 0) the step is Euler's. So is the first, which leaves an error of its length squared:
the declared orders above 2 are those of the steps that follow.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from difflab.denoiser import Denoise, Pictures
from difflab.errors import DifflabError
from difflab.grids import Nodes
from difflab.samplers.base import Levels, Noise, Step, ddim_step, euler, is_noise
from difflab.samplers.polynomial import Guess, mean_ahead


def dpmpp_2m(denoise: Denoise, x: Pictures, nodes: Nodes, noise: Noise) -> Iterator[Step]:
    """DPM-Solver++(2M) (2211.01095) algorithm 2, second order."""
    return _dpmpp(denoise, x, nodes, noise, order=2)


def dpmpp_3m(denoise: Denoise, x: Pictures, nodes: Nodes, noise: Noise) -> Iterator[Step]:
    """DPM-Solver++(3M), third order: its authors' code, with the second difference doubled, which they left at half."""
    return _dpmpp(denoise, x, nodes, noise, order=3)


def dpmpp_sde(denoise: Denoise, x: Pictures, nodes: Nodes, noise: Noise) -> Iterator[Step]:
    """SDE-DPM-Solver++(2M) (2211.01095) section 5: DDPM's ancestral step with the guess of 2M."""
    return _dpmpp(denoise, x, nodes, noise, order=2, eta=1.0)


def _dpmpp(denoise: Denoise, x: Pictures, nodes: Nodes, noise: Noise, order: int, eta: float = 0.0) -> Iterator[Step]:
    past: list[Guess] = []
    for levels in nodes.steps():
        x0 = denoise(x, *levels[:2])
        past = [Guess(_log_u(*levels[:2]), x0), *past][:order]
        x = ddim_step(x, _mean_x0(past, past[0].at, _log_u(*levels[2:])), *levels, noise, eta)
        yield Step(x, x0)


def unipc(denoise: Denoise, x: Pictures, nodes: Nodes, noise: Noise, order: int = 2) -> Iterator[Step]:
    """UniPC (2302.04867) with a predictor of this order and B(h) = e^h - 1 ("bh2"): of order + 1 in all.

    The guess at a node also corrects the state there: the step to it is taken again with one guess more, and goes
    on from there without another evaluation.
    """
    del noise  # deterministic
    _check_order("unipc", order, 3)
    past: list[Guess] = []
    taken: tuple[Pictures, Levels] | None = None
    for levels in nodes.steps():
        x0 = denoise(x, *levels[:2])
        past = [Guess(_log_u(*levels[:2]), x0), *past][: order + 1]
        if taken is not None and past[1].at.isfinite():
            x = euler(taken[0], _mean_x0(past, past[1].at, past[0].at), *taken[1])
        taken = x, levels
        x = euler(x, _mean_x0(past[:order], past[0].at, _log_u(*levels[2:])), *levels)
        yield Step(x, x0)


def deis(
    denoise: Denoise, x: Pictures, nodes: Nodes, noise: Noise, order: int = 3, variable: str = "log_rho"
) -> Iterator[Step]:
    """DEIS (2204.13902), tAB-DEIS with polynomials in log rho, rho = sigma/alpha, of the declared order.

    variable = rho is k-diffusion's linear multistep method (LMS), which needs no lower order in the last step.
    """
    del noise  # deterministic
    _check_order("deis", order, 4)
    if variable not in ("log_rho", "rho"):
        raise DifflabError(f"sampler.variable={variable} is unknown to sampler 'deis': choose log_rho or rho")
    logarithmic, past = variable == "log_rho", list[Guess]()
    for alpha, sigma, alpha_, sigma_ in nodes.steps():
        x0 = guess = denoise(x, alpha, sigma)
        start, end = (-u if logarithmic else (-u).exp() for u in (_log_u(alpha, sigma), _log_u(alpha_, sigma_)))
        past = [Guess(start, (x - alpha * x0) / sigma), *past][:order]
        if start.isfinite():
            # The x0 that goes with the mean of eps, in the form that does not cancel at small alpha.
            guess = x0 + sigma / alpha * (past[0].value - mean_ahead(past, start, end, exponential=logarithmic))
        x = euler(x, guess, alpha, sigma, alpha_, sigma_)
        yield Step(x, x0)


def _log_u(alpha: Tensor, sigma: Tensor) -> Tensor:
    """logsnr/2, the papers' lambda: x0 is integrated over its exponential u = alpha/sigma."""
    return (alpha / sigma).log() if not is_noise(alpha, sigma) else alpha.new_tensor(-torch.inf)


def _mean_x0(past: Sequence[Guess], start: Tensor, end: Tensor) -> Tensor:
    """Of two guesses the published solvers take the line's midpoint, of three or more the exact mean."""
    return mean_ahead(past, start, end, points=1 if len(past) == 2 else 16)


def _check_order(sampler: str, order: int, most: int) -> None:
    if not 1 <= order <= most:
        raise DifflabError(f"sampler.order={order}: sampler '{sampler}' has orders 1 to {most}, set sampler.order=2")
