"""Samplers against exact flows: order by regression, coordinates, distribution, another library."""

import math

import pytest
import torch
from torch import Tensor

from difflab.generation import Generation
from difflab.grids import Grid, Karras, Nodes, UniformLogsnr, UniformT
from difflab.oracles import Mixture, empirical, gaussian
from difflab.rng import SampleNoise, generator
from difflab.samplers import Sampler, Step, ddim, dpmpp_2m, heun, last, run
from difflab.schedules import VE, Cosine, LinearVP, Rectified, Schedule, Tabulated, linear_betas

STD = 0.7
ORACLE = gaussian(torch.full((1, 2, 2), 0.4, dtype=torch.float64), STD)
SCHEDULES = [Cosine(), LinearVP(), Rectified(), VE()]


def silence(like: Tensor) -> Tensor:
    raise AssertionError("a deterministic sampler drew noise")


def exact_flow(x: Tensor, nodes: Nodes, at: int) -> Tensor:
    """The probability-flow ODE of Gaussian data keeps the standardised value."""
    alpha, sigma = nodes.alpha, nodes.sigma
    scale = (alpha**2 * STD**2 + sigma**2).sqrt()
    return 0.4 * alpha[at] + (x - 0.4 * alpha[0]) * scale[at] / scale[0]


def error(sampler: Sampler, schedule: Schedule, steps: int) -> float:
    """The worst error at sigma_hat = 0.1, over a range on which everything is smooth."""
    grid = UniformLogsnr(steps + 1, -2 * math.log(5.0), -2 * math.log(0.1))
    nodes = grid.nodes(schedule)
    x = nodes.sigma[0] * torch.randn(64, 1, 2, 2, dtype=torch.float64, generator=generator(0))
    states = [step.x for step in sampler(ORACLE, x, nodes, silence)]
    return (states[-2] - exact_flow(x, nodes, -2)).abs().max().item()


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
@pytest.mark.parametrize(
    ("sampler", "order"), [(ddim, 1), (heun, 2), (dpmpp_2m, 2)], ids=lambda x: getattr(x, "__name__", x)
)
def test_order_is_the_declared_one(sampler: Sampler, order: int, schedule: Schedule) -> None:
    steps = [40, 80, 160, 320]
    errors = [error(sampler, schedule, n) for n in steps]
    log_steps, log_errors = torch.tensor(steps).double().log(), torch.tensor(errors).log()
    centred = log_steps - log_steps.mean()
    slope = (centred * log_errors).sum() / (centred**2).sum()
    assert -slope.item() == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("sampler", [ddim, heun, dpmpp_2m], ids=lambda s: s.__name__)
def test_path_does_not_depend_on_the_coordinates(sampler: Sampler) -> None:
    """The same sigma_hats on cosine, linear, VE and straight paths give the same pictures."""
    pictures = []
    for schedule in SCHEDULES:
        nodes = Karras(12, 0.01, 50.0).nodes(schedule)
        noise = torch.randn(8, 1, 2, 2, dtype=torch.float64, generator=generator(0))
        pictures.append(last(sampler(ORACLE, nodes.sigma[0] * noise, nodes, silence)))
    for other in pictures[1:]:
        # Paths start at sigma * noise with or without the tiny alpha * mean: the same up to sigma_max.
        torch.testing.assert_close(other, pictures[0], rtol=1e-6, atol=1e-6)


def test_euler_on_the_straight_path_is_euler_in_time() -> None:
    nodes = UniformT(10).nodes(Rectified())
    x = torch.randn(4, 1, 2, 2, dtype=torch.float64, generator=generator(0))
    ours = last(ddim(ORACLE, x, nodes, silence))
    for i in range(10):
        alpha, sigma = nodes.alpha[i], nodes.sigma[i]
        x0 = ORACLE(x, alpha, sigma)
        velocity = (x - alpha * x0) / sigma - x0
        x = x - 0.1 * velocity
    torch.testing.assert_close(ours, x, rtol=1e-10, atol=1e-10)


def test_heun_is_karras_algorithm_1() -> None:
    nodes = Karras(9).nodes(VE())
    x = 80 * torch.randn(4, 1, 2, 2, dtype=torch.float64, generator=generator(0))
    ours, one = last(heun(ORACLE, x, nodes, silence)), torch.tensor(1.0).double()
    for sigma, after in zip(nodes.sigma[:-1], nodes.sigma[1:], strict=True):
        slope = (x - ORACLE(x, one, sigma)) / sigma
        euler = x + (after - sigma) * slope
        if after > 0:
            slope = (slope + (euler - ORACLE(euler, one, after)) / after) / 2
        x = x + (after - sigma) * slope
    torch.testing.assert_close(ours, x, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("grid", [Karras(500, 0.01, 60.0), UniformT(500)], ids=lambda g: type(g).__name__)
def test_samples_of_a_gaussian_have_its_mean_and_deviation(eta: float, grid: Grid) -> None:
    def sampler(denoise, x, nodes, noise):  # type: ignore[no-untyped-def]
        return ddim(denoise, x, nodes, noise, eta=eta)

    g = generator(4)
    noise = lambda like: torch.randn(like.shape, generator=g, dtype=like.dtype)  # noqa: E731
    x = last(run(sampler, ORACLE, grid.nodes(Cosine()), noise, torch.zeros(20000, 1, 2, 2, dtype=torch.float64)))
    assert x.mean().item() == pytest.approx(0.4, abs=4 * STD / math.sqrt(80000))
    # First order: in 500 steps the deviation is still up to half a per cent short.
    assert x.std().item() == pytest.approx(STD, rel=0.01)


def test_eta_one_adds_the_posterior_variance() -> None:
    """DDPM's beta_tilde (2006.11239, eq. 7) between neighbours of its table."""
    schedule = Tabulated(linear_betas(1e-4, 0.02, 1000))
    t = torch.tensor([0.5, 0.499], dtype=torch.float64)
    alpha, sigma = schedule.alpha_sigma(t)
    nodes = Nodes(torch.cat([alpha, alpha.new_ones(1)]), torch.cat([sigma, sigma.new_zeros(1)]))
    x = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    quiet = next(ddim(ORACLE, x, nodes, torch.zeros_like, eta=1.0)).x
    loud = next(ddim(ORACLE, x, nodes, torch.ones_like, eta=1.0)).x
    beta = 1 - alpha[0] ** 2 / alpha[1] ** 2
    expected = (beta * sigma[1] ** 2 / sigma[0] ** 2).sqrt()
    torch.testing.assert_close(loud - quiet, expected.expand_as(x), rtol=1e-9, atol=0)


def test_a_finite_data_set_is_sampled_by_heart() -> None:
    images = torch.randn(5, 1, 4, 4, generator=generator(7))
    x = last(
        run(heun, empirical(images), Karras(18).nodes(Cosine()), SampleNoise(0, range(32)), torch.zeros(32, 1, 4, 4))
    )
    nearest = (x[:, None] - images).abs().amax((2, 3, 4)).amin(1)
    assert nearest.max().item() < 1e-2


def test_mixture_denoiser_is_the_posterior_mean() -> None:
    """Against the average of x0 over draws, weighted by how well they explain x."""
    mixture = Mixture(
        torch.tensor([[-1.0], [2.0]]).double(), torch.tensor([0.3, 0.6]).double(), torch.tensor([0.3, 0.7]).double()
    )
    g = generator(5)
    which = (torch.rand(400_000, generator=g) < 0.7).long()
    x0 = mixture.means[which, 0] + mixture.std[which] * torch.randn(400_000, generator=g, dtype=torch.float64)
    alpha, sigma, x = torch.tensor(0.8).double(), torch.tensor(0.6).double(), torch.tensor([[0.7]]).double()
    likelihood = (-((x - alpha * x0) ** 2) / (2 * sigma**2)).exp().flatten()
    brute = (likelihood * x0).sum() / likelihood.sum()
    assert mixture(x, alpha, sigma).item() == pytest.approx(brute.item(), abs=5e-3)


@pytest.mark.parametrize(
    ("sampler", "nfe"), [(ddim, 10), (heun, 19), (dpmpp_2m, 10)], ids=lambda x: getattr(x, "__name__", x)
)
def test_nfe_is_counted(sampler: Sampler, nfe: int) -> None:
    assert Generation(sampler, Karras(10).nodes(Cosine()), (1, 4, 4), {}).nfe() == nfe


def test_steps_carry_the_guess_that_led_there() -> None:
    nodes = UniformT(4).nodes(Cosine())
    steps: list[Step] = list(run(ddim, ORACLE, nodes, SampleNoise(0, [0]), torch.zeros(1, 1, 2, 2)))
    assert len(steps) == 4
    torch.testing.assert_close(steps[-1].x, steps[-1].x0)
