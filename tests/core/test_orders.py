"""The order of every sampler, measured by regression against exact answers on all kinds of paths.

Deterministic samplers are held against the exact flow. Of stochastic ones the final mean and variance are computed
exactly: on Gaussian data a sampler is affine in its start and in its noises, so that one run with one of them a row
gives all its coefficients.
"""

import math
from collections.abc import Callable
from functools import cache, partial

import numpy as np
import pytest
import torch
from jaxtyping import Float64
from scipy.integrate import OdeSolution, solve_ivp
from torch import Tensor

from difflab.denoiser import Denoise
from difflab.grids import Nodes
from difflab.oracles import Mixture, gaussian
from difflab.rng import generator
from difflab.samplers import Sampler, adaptive, ddim, ddpm, deis, dpmpp_2m, dpmpp_3m, dpmpp_sde, heun, last, unipc
from difflab.schedules import VE, Cosine, LinearVP, Rectified, Schedule

MEAN, STD = 0.4, 0.7
GAUSSIAN = gaussian(torch.full((1,), MEAN, dtype=torch.float64), STD)
MIXTURE = Mixture(*(torch.tensor(v, dtype=torch.float64) for v in ([[-1.0], [1.0]], [0.5, 0.4], [0.3, 0.7])))
SCHEDULES = [Cosine(), LinearVP(), Rectified(), VE()]
FROM, TO = 5.0, 0.1  # sigma_hat, a range on which everything is smooth
NOISE = torch.randn(16, 1, dtype=torch.float64, generator=generator(0))

lms = partial(deis, variable="rho")
ORDERS: dict[str, tuple[Sampler, int]] = {
    "ddim": (ddim, 1),
    "heun": (heun, 2),
    "dpmpp_2m": (dpmpp_2m, 2),
    "dpmpp_3m": (dpmpp_3m, 3),
    **{f"unipc{k}": (partial(unipc, order=k), k + 1) for k in (1, 2, 3)},
    **{f"deis{k}": (partial(deis, order=k), k) for k in (2, 3, 4)},
    **{f"lms{k}": (partial(lms, order=k), k) for k in (2, 3, 4)},
}


def silence(like: Tensor) -> Tensor:
    raise AssertionError("a deterministic sampler drew noise")


def nodes_with(schedule: Schedule, steps: int, power: int) -> Nodes:
    """From FROM to TO, even in logsnr for power = 1; for 2 the steps grow from 1/steps^2 on.

    A multistep sampler begins with Euler's step, whose error of (first step)^2 would hide any order above 2.
    """
    u = torch.linspace(0, 1, steps + 1, dtype=torch.float64) ** power
    return Nodes(*schedule.at_logsnr(-2 * (math.log(FROM) + u * math.log(TO / FROM))))


def gaussian_flow(sigma_hat: Float64[Tensor, " n"]) -> Float64[Tensor, "n 16 1"]:
    """x/alpha of Gaussian data, which keeps its standardised value, for the start FROM * NOISE."""
    std = (STD**2 + sigma_hat**2).sqrt()[:, None, None]
    return MEAN + (FROM * NOISE - MEAN) * std / std[0]


@cache
def mixture_solution() -> OdeSolution:
    """The same of the mixture, of a solver of order 8 at 1e-12."""

    def slope(sigma_hat: float, y: np.ndarray) -> np.ndarray:
        x, one, sigma = torch.from_numpy(y)[:, None], *torch.tensor([1.0, sigma_hat], dtype=torch.float64)
        return ((x - MIXTURE(x, one, sigma)) / sigma)[:, 0].numpy()

    start = (FROM * NOISE)[:, 0].numpy()
    return solve_ivp(slope, (FROM, TO), start, "DOP853", rtol=1e-12, atol=1e-12, dense_output=True).sol


def mixture_flow(sigma_hat: Float64[Tensor, " n"]) -> Float64[Tensor, "n 16 1"]:
    return torch.from_numpy(mixture_solution()(sigma_hat.numpy())).T[..., None]


def both(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """The Gaussian for the first half of the rows, the mixture for the second."""
    one, two = x.chunk(2)
    return torch.cat([GAUSSIAN(one, alpha, sigma), MIXTURE(two, alpha, sigma)])


def orders(errors: Callable[[int], Float64[Tensor, " k"]], steps: int) -> Float64[np.ndarray, " k"]:
    """Minus the slopes of log(error) over log(steps) from `steps` to twice as many, by least squares."""
    counts = [steps, round(steps * math.sqrt(2)), 2 * steps]
    slopes, _ = np.polyfit(np.log(counts), np.log([errors(n).numpy() for n in counts]), 1)
    return -slopes


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
def test_order_is_the_declared_one(schedule: Schedule, name: str) -> None:
    """On a Gaussian and on a mixture, over the whole path: at a single level the errors of its halves may cancel."""
    sampler, order = ORDERS[name]

    def errors(steps: int) -> Tensor:
        nodes = nodes_with(schedule, steps, power=2)
        start = nodes.sigma[0] * torch.cat([NOISE, NOISE])
        states = torch.stack([step.x for step in sampler(both, start, nodes, silence)]) / nodes.alpha[1:, None, None]
        exact = torch.cat([flow(nodes.sigma / nodes.alpha)[1:] for flow in (gaussian_flow, mixture_flow)], dim=1)
        return torch.stack([half.square().mean().sqrt() for half in (states - exact).chunk(2, dim=1)])

    # The slope is off by the next order's share of the error, at most 0.13 here (LMS).
    assert orders(errors, 40 if order < 4 else 80) == pytest.approx(order, abs=0.15)


def test_a_multistep_sampler_of_order_one_is_euler() -> None:
    nodes = nodes_with(Cosine(), 10, power=1)
    euler = last(ddim(MIXTURE, NOISE, nodes, silence))
    for sampler in (deis, lms):
        torch.testing.assert_close(last(sampler(MIXTURE, NOISE, nodes, silence, order=1)), euler, rtol=1e-12, atol=0)


def moments(sampler: Sampler, nodes: Nodes) -> tuple[Tensor, Tensor]:
    """The exact mean and variance at the end, of Gaussian data that starts with those it should have."""
    rows = len(nodes) + 2
    std = (nodes.alpha[0] ** 2 * STD**2 + nodes.sigma[0] ** 2).sqrt()
    one_a_row = iter(torch.eye(rows, dtype=torch.float64)[1:, :, None])
    x = nodes.alpha[0] * MEAN + std * next(one_a_row)
    x = last(sampler(GAUSSIAN, x, nodes, lambda like: next(one_a_row)))[:, 0]
    return x[0], (x[1:] - x[0]).square().sum()


STOCHASTIC: dict[str, tuple[Sampler, int]] = {
    "ddim_half": (partial(ddim, eta=0.5), 1),
    "ddim_one": (partial(ddim, eta=1.0), 1),
    "ddpm_upper": (partial(ddpm, variance="upper"), 1),
    "dpmpp_sde": (dpmpp_sde, 2),
}


@pytest.mark.parametrize("name", STOCHASTIC)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
def test_weak_order_is_the_declared_one(schedule: Schedule, name: str) -> None:
    """Of the variance; the mean is exact at any number of steps."""
    sampler, order = STOCHASTIC[name]

    def errors(steps: int) -> Tensor:
        nodes = nodes_with(schedule, steps, power=1)
        mean, variance = moments(sampler, nodes)
        assert mean.item() == pytest.approx(MEAN * nodes.alpha[-1].item(), rel=1e-12)
        return (variance - nodes.alpha[-1] ** 2 * STD**2 - nodes.sigma[-1] ** 2).abs()[None]

    assert orders(errors, 40) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("tolerance", [1e-3, 1e-5, 1e-7])
@pytest.mark.parametrize(("oracle", "flow"), [(GAUSSIAN, gaussian_flow), (MIXTURE, mixture_flow)], ids=["one", "two"])
def test_the_adaptive_sampler_keeps_its_tolerance(oracle: Denoise, flow: Callable, tolerance: float) -> None:
    """At every node. The tolerance is that of a step: a hundred steps may add up, and measured are 1 to 90."""
    nodes = nodes_with(Rectified(), 10, power=1)
    steps = adaptive(oracle, nodes.sigma[0] * NOISE, nodes, silence, rtol=tolerance, atol=tolerance)
    states = torch.stack([step.x for step in steps]) / nodes.alpha[1:, None, None]
    assert (states - flow(nodes.sigma / nodes.alpha)[1:]).abs().max() < 100 * tolerance
