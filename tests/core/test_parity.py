"""Whole trajectories against a second implementation, on the same oracle, the same levels and the same noise.

Theirs computes in float32 in places. Here it is told that float32 means float64, and it is given our levels, so that
both sides agree to the last digits.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from difflab.grids import Karras, Nodes, Stride, UniformT
from difflab.oracles import Mixture
from difflab.rng import generator
from difflab.samplers import Sampler, ddim, ddpm, deis, dpmpp_2m, dpmpp_3m, dpmpp_sde, heun, last, unipc
from difflab.schedules import VE, Rectified
from difflab.tables import Tabulated, linear_betas

MEANS = torch.tensor([[[[0.5, -1.0]]], [[[-0.5, 1.0]]]], dtype=torch.float64)
MIXTURE = Mixture(MEANS, MEANS.new_tensor([0.5, 0.3]), MEANS.new_tensor([0.3, 0.7]))
TABLE = Tabulated(linear_betas(1e-4, 0.02, 1000))
START = torch.randn(4, 1, 1, 2, dtype=torch.float64, generator=generator(0))

Make = Callable[..., Any]

Output = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(x, x0, alpha, sigma) -> what a network of theirs would give."""

Levels = list[tuple[Tensor, Tensor]]

pytestmark = pytest.mark.parametrize("steps", [5, 10, 50])


class Oracle:
    """The mixture, with a variance between the bounds that moves with x."""

    def __call__(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return MIXTURE(x, alpha, sigma)

    def with_variance(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return self(x, alpha, sigma), x.sigmoid()


ORACLE = Oracle()


class Double:
    """torch, but for float32."""

    float32 = torch.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Their scheduler in float64; `sigmas` take the place of its own."""

    def scheduler(name: str, steps: int, sigmas: Tensor | None = None, **config: Any) -> Any:
        kind = getattr(diffusers, name)
        monkeypatch.setattr(sys.modules[kind.__module__], "torch", Double())
        theirs = kind(**config)
        theirs.set_timesteps(steps)
        if sigmas is not None:
            theirs.sigmas = sigmas
            theirs.set_begin_index(0)
        return theirs

    return scheduler


def x0(x: Tensor, x0: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    return x0


def x0_and_variance(x: Tensor, x0: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    return torch.cat([x0, 2 * x.sigmoid() - 1], dim=1)


def eps(x: Tensor, x0: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    return (x - alpha * x0) / sigma


def velocity(x: Tensor, x0: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    return (x - alpha * x0) / sigma - x0


def edm(x: Tensor, x0: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """F of EDM's preconditioning, for sigma_data = 0.5."""
    return (x0 - 0.25 / (sigma**2 + 0.25) * x) * (sigma**2 + 0.25).sqrt() / (0.5 * sigma)


def pairs(alpha: Tensor, sigma: Tensor) -> Levels:
    """All levels but the last."""
    return list(zip(alpha[:-1], sigma[:-1], strict=True))


def assert_same(
    sampler: Sampler, nodes: Nodes, theirs: Any, output: Output, at: Levels | None = None, **options: Any
) -> None:
    """Ours against theirs, which sees a network's `output` at the levels `at`, by default the nodes but the last."""
    draws = generator(1)
    noise = lambda like: torch.randn(like.shape, dtype=like.dtype, generator=draws)  # noqa: E731
    x = nodes.sigma[0] * START
    ours = last(sampler(ORACLE, x, nodes, noise))
    for t, (alpha, sigma) in zip(theirs.timesteps, at or pairs(nodes.alpha, nodes.sigma), strict=True):
        x = theirs.step(output(x, ORACLE(x, alpha, sigma), alpha, sigma), t, x, **options).prev_sample
    assert x.dtype == torch.float64
    torch.testing.assert_close(ours, x, rtol=1e-9, atol=1e-9)


# On DDPM's table


@pytest.mark.parametrize(
    ("variance", "theirs", "output"),
    [
        ("posterior", "fixed_small", x0),
        ("upper", "fixed_large", x0),
        ("learned", "learned_range", x0_and_variance),
    ],
)
def test_ddpm(make: Make, steps: int, variance: str, theirs: str, output: Output) -> None:
    """On the leading levels, since theirs knows the step to the clean picture, which has no noise, by the level 0."""
    scheduler = make("DDPMScheduler", steps, variance_type=theirs, prediction_type="sample", clip_sample=False)
    nodes = Stride(steps).nodes(TABLE)
    assert_same(partial(ddpm, variance=variance), nodes, scheduler, output, generator=generator(1))


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim(make: Make, steps: int, eta: float) -> None:
    scheduler = make("DDIMScheduler", steps, timestep_spacing="trailing", clip_sample=False)
    assert_same(partial(ddim, eta=eta), UniformT(steps).nodes(TABLE), scheduler, eps, eta=eta, generator=generator(1))


# On EDM's levels, alpha = 1


def test_euler(make: Make, steps: int) -> None:
    nodes = Karras(steps).nodes(VE())
    assert_same(ddim, nodes, make("EulerDiscreteScheduler", steps, nodes.sigma), eps)


def test_euler_ancestral(make: Make, steps: int) -> None:
    nodes = Karras(steps).nodes(VE())
    scheduler = make("EulerAncestralDiscreteScheduler", steps, nodes.sigma)
    assert_same(partial(ddim, eta=1.0), nodes, scheduler, eps, generator=generator(1))


def test_edm_euler(make: Make, steps: int) -> None:
    nodes = Karras(steps).nodes(VE())
    assert_same(ddim, nodes, make("EDMEulerScheduler", steps, nodes.sigma), edm)


def test_edm_dpmpp_2m(make: Make, steps: int) -> None:
    nodes = Karras(steps).nodes(VE())
    assert_same(dpmpp_2m, nodes, make("EDMDPMSolverMultistepScheduler", steps, nodes.sigma), edm)


def each_inner_one_twice(v: Tensor) -> Tensor:
    return torch.cat([v[:1], v[1:-1].repeat_interleave(2), v[-1:]])


def test_heun(make: Make, steps: int) -> None:
    nodes = Karras(steps).nodes(VE())
    twice = each_inner_one_twice(nodes.sigma)
    scheduler = make("HeunDiscreteScheduler", steps, twice, prediction_type="sample")
    assert_same(heun, nodes, scheduler, x0, pairs(torch.ones_like(twice), twice))


def test_lms(make: Make, steps: int) -> None:
    nodes = Karras(steps).nodes(VE())
    scheduler = make("LMSDiscreteScheduler", steps, nodes.sigma)
    scheduler.is_scale_input_called = True  # else it warns that the input of a network is not scaled
    assert_same(partial(deis, order=4, variable="rho"), nodes, scheduler, eps)


# On the straight path


def test_flow_euler(make: Make, steps: int) -> None:
    nodes = UniformT(steps).nodes(Rectified())
    assert_same(ddim, nodes, make("FlowMatchEulerDiscreteScheduler", steps, nodes.sigma), velocity)


def test_flow_heun(make: Make, steps: int) -> None:
    """Theirs takes the trapezium rule in t and Karras' in sigma_hat: the change of the guess weighs alpha/alpha' more
    in theirs, and is given to it as much smaller here."""
    nodes = UniformT(steps).nodes(Rectified(t_max=0.9))
    twice = each_inner_one_twice(nodes.sigma)
    scheduler = make("FlowMatchHeunDiscreteScheduler", steps, twice)
    first: list[Tensor] = []

    def output(x: Tensor, x0: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        if not first:
            first.extend([x0, alpha])
        else:
            before, alpha_before = first.pop(0), first.pop(0)
            x0 = before + alpha / alpha_before * (x0 - before)
        return velocity(x, x0, alpha, sigma)

    assert_same(heun, nodes, scheduler, output, pairs(1 - twice, twice))


# On levels even in nothing, on the variance-preserving path, which theirs takes for these


def uneven(steps: int, end: float) -> Nodes:
    u = torch.linspace(0, 1, steps, dtype=torch.float64)
    sigma_hat = torch.cat([60 * 0.0005 ** (0.6 * u + 0.4 * u**2), torch.tensor([end], dtype=torch.float64)])
    alpha = 1 / (1 + sigma_hat**2).sqrt()
    return Nodes(alpha, alpha * sigma_hat)


def sigma_hat(nodes: Nodes) -> Tensor:
    return nodes.sigma / nodes.alpha


def of_sample(make: Make, name: str, nodes: Nodes, **config: Any) -> Any:
    config |= {"prediction_type": "sample", "lower_order_final": False}
    return make(name, len(nodes), sigma_hat(nodes), **config)


def test_dpmpp_2m(make: Make, steps: int) -> None:
    nodes = uneven(steps, end=0.0)
    assert_same(dpmpp_2m, nodes, of_sample(make, "DPMSolverMultistepScheduler", nodes, solver_order=2), x0)


def test_dpmpp_sde(make: Make, steps: int) -> None:
    nodes = uneven(steps, end=0.0)
    scheduler = of_sample(make, "DPMSolverMultistepScheduler", nodes, algorithm_type="sde-dpmsolver++")
    assert_same(dpmpp_sde, nodes, scheduler, x0, generator=generator(1))


def test_dpmpp_3m(make: Make, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Theirs, like its authors', takes half of the second derivative, so it is of order 2; here it gets the rest."""
    nodes = uneven(steps, end=0.0)
    scheduler = of_sample(make, "DPMSolverMultistepScheduler", nodes, solver_order=3)
    published, v = scheduler.multistep_dpm_solver_third_order_update, -sigma_hat(nodes).log()

    def whole(outputs: list[Tensor], **rest: Any) -> Tensor:
        i = scheduler.step_index
        h, before, earlier = v[i + 1] - v[i], v[i] - v[i - 1], v[i - 1] - v[i - 2]
        change = (outputs[-1] - outputs[-2]) / before - (outputs[-2] - outputs[-3]) / earlier
        phi = ((-h).exp() - 1 + h) / h**2 - 0.5
        return published(outputs, **rest) - nodes.alpha[i + 1] * phi * h**2 * change / (before + earlier)

    monkeypatch.setattr(scheduler, "multistep_dpm_solver_third_order_update", whole)
    assert_same(dpmpp_3m, nodes, scheduler, x0)


# These two end in a noisy level, since without a lower order at the end theirs is not finite at a clean one.


@pytest.mark.parametrize("order", [1, 2, 3])
def test_unipc(make: Make, steps: int, order: int) -> None:
    nodes = uneven(steps, end=0.01)
    scheduler = of_sample(make, "UniPCMultistepScheduler", nodes, solver_order=order, solver_type="bh2")
    assert_same(partial(unipc, order=order), nodes, scheduler, x0)


@pytest.mark.filterwarnings("ignore:__array_wrap__")  # theirs hands tensors to numpy
@pytest.mark.parametrize("order", [1, 2, 3])
def test_deis(make: Make, steps: int, order: int) -> None:
    nodes = uneven(steps, end=0.01)
    assert_same(
        partial(deis, order=order), nodes, of_sample(make, "DEISMultistepScheduler", nodes, solver_order=order), x0
    )
