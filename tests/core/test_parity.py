"""Whole trajectories against a second implementation, on the same oracle and the same noise."""

import diffusers
import pytest
import torch
from torch import Tensor

from difflab.grids import Karras, Nodes, UniformT
from difflab.oracles import gaussian
from difflab.rng import generator
from difflab.samplers import ddim, dpmpp_2m, heun, last
from difflab.schedules import VE, Rectified, Tabulated, linear_betas

ORACLE = gaussian(torch.full((1, 2, 2), 0.4, dtype=torch.float64), 0.7)
TABLE = Tabulated(linear_betas(1e-4, 0.02, 1000))


def silence(like: Tensor) -> Tensor:
    raise AssertionError("a deterministic sampler drew noise")


def start() -> Tensor:
    return torch.randn(4, 1, 2, 2, dtype=torch.float64, generator=generator(0))


@pytest.mark.parametrize("steps", [5, 10, 50])
def test_ddim(steps: int) -> None:
    theirs = diffusers.DDIMScheduler(timestep_spacing="trailing", clip_sample=False, set_alpha_to_one=True)
    theirs.set_timesteps(steps)
    products = torch.cumprod(1 - linear_betas(1e-4, 0.02, 1000), 0)
    theirs.alphas_cumprod, theirs.final_alpha_cumprod = products, torch.tensor(1.0).double()
    nodes, x = UniformT(steps).nodes(TABLE), start()
    ours = last(ddim(ORACLE, x, nodes, silence))
    for t in theirs.timesteps:
        alpha, sigma = products[t].sqrt(), (1 - products[t]).sqrt()
        eps = (x - alpha * ORACLE(x, alpha, sigma)) / sigma
        x = theirs.step(eps, t, x, eta=0.0).prev_sample
    torch.testing.assert_close(ours, x, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("steps", [5, 10, 50])
def test_edm_euler(steps: int) -> None:
    theirs = diffusers.EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0, sigma_data=0.5)
    theirs.set_timesteps(steps)
    theirs.sigmas = Karras(steps).nodes(VE()).sigma
    nodes, x = Karras(steps).nodes(VE()), 80 * start()
    ours, one = last(ddim(ORACLE, x, nodes, silence)), torch.tensor(1.0).double()
    for i, t in enumerate(theirs.timesteps):
        sigma = nodes.sigma[i]
        x0 = ORACLE(x, one, sigma)
        f = (x0 - 0.25 / (sigma**2 + 0.25) * x) * (sigma**2 + 0.25).sqrt() / (0.5 * sigma)
        x = theirs.step(f, t, x).prev_sample.double()
    # Their step casts the state to float32.
    torch.testing.assert_close(ours, x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("steps", [5, 10, 50])
def test_flow_euler(steps: int) -> None:
    theirs = diffusers.FlowMatchEulerDiscreteScheduler()
    theirs.set_timesteps(sigmas=[1 - i / steps for i in range(steps)])
    nodes, x = UniformT(steps).nodes(Rectified()), start()
    ours = last(ddim(ORACLE, x, nodes, silence))
    for i, t in enumerate(theirs.timesteps):
        alpha, sigma = nodes.alpha[i], nodes.sigma[i]
        x0 = ORACLE(x, alpha, sigma)
        x = theirs.step((x - alpha * x0) / sigma - x0, t, x).prev_sample.double()
    # Their step keeps sigmas and the state in float32.
    torch.testing.assert_close(ours, x, rtol=1e-5, atol=1e-5)


def with_their_levels(sigma_hat: Tensor) -> Nodes:
    """Our nodes at the levels another scheduler has chosen, on the variance-preserving path."""
    alpha = 1 / (1 + sigma_hat**2).sqrt()
    return Nodes(alpha, sigma_hat * alpha)


@pytest.mark.parametrize("steps", [5, 10, 50])
def test_dpmpp_2m(steps: int) -> None:
    theirs = diffusers.DPMSolverMultistepScheduler(
        use_karras_sigmas=True, prediction_type="sample", solver_order=2, final_sigmas_type="zero", euler_at_final=True
    )
    theirs.set_timesteps(steps)
    theirs.sigmas = theirs.sigmas.double()
    nodes, x = with_their_levels(theirs.sigmas), start()
    ours = last(dpmpp_2m(ORACLE, x, nodes, silence))
    for i, t in enumerate(theirs.timesteps):
        x = theirs.step(ORACLE(x, nodes.alpha[i], nodes.sigma[i]), t, x).prev_sample
    torch.testing.assert_close(ours, x.double(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("steps", [5, 10, 50])
def test_heun(steps: int) -> None:
    theirs = diffusers.HeunDiscreteScheduler(prediction_type="sample", use_karras_sigmas=True)
    theirs.set_timesteps(steps)
    theirs.sigmas = theirs.sigmas.double()
    levels = torch.cat([theirs.sigmas[:1], theirs.sigmas[1::2]])  # each inner level stands twice
    nodes = Nodes(torch.ones_like(levels), levels)
    x = levels[0] * start()
    ours, one = last(heun(ORACLE, x, nodes, silence)), torch.tensor(1.0).double()
    for i, t in enumerate(theirs.timesteps):
        x = theirs.step(ORACLE(x, one, theirs.sigmas[i]), t, x).prev_sample
    torch.testing.assert_close(ours, x.double(), rtol=1e-6, atol=1e-7)
