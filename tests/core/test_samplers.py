"""Samplers as functions: coordinates, ends, batches, errors, evaluations; see the orders and the distributions too."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from scipy.integrate import quad
from torch import Tensor

from difflab.config.instantiate import build
from difflab.denoiser import Denoise
from difflab.errors import DifflabError
from difflab.files import conf_dir
from difflab.generation import Generation
from difflab.grids import Grid, Karras, Nodes, UniformLogsnr, UniformT
from difflab.oracles import Mixture, empirical, gaussian
from difflab.rng import SampleNoise, generator
from difflab.samplers import (
    Sampler,
    Step,
    adaptive,
    ddim,
    ddpm,
    deis,
    dpmpp_2m,
    dpmpp_3m,
    dpmpp_sde,
    heun,
    last,
    run,
    unipc,
)  # fmt: skip
from difflab.samplers.polynomial import Guess, mean_ahead
from difflab.schedules import VE, Cosine, LinearVP, Rectified
from difflab.tables import Tabulated, linear_betas

STD = 0.7
ORACLE = gaussian(torch.full((1, 2, 2), 0.4, dtype=torch.float64), STD)
SCHEDULES = [Cosine(), LinearVP(), Rectified(), VE()]


def silence(like: Tensor) -> Tensor:
    raise AssertionError("a deterministic sampler drew noise")


def every(group: str = "sampler") -> list[Any]:
    """The samplers of conf/sampler, each with its name."""
    return [pytest.param(build(OmegaConf.load(p)), id=p.stem) for p in sorted((conf_dir() / group).glob("*.yaml"))]


class WithVariance:
    """An oracle with a variance half-way between the bounds."""

    def __init__(self, oracle: Denoise) -> None:
        self.oracle = oracle

    def __call__(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return self.oracle(x, alpha, sigma)

    def with_variance(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return self(x, alpha, sigma), torch.full_like(x, 0.5)


@pytest.mark.parametrize("sampler", every())
def test_path_does_not_depend_on_the_coordinates(sampler: Sampler) -> None:
    """The same sigma_hats on cosine, linear, VE and straight paths give the same pictures."""
    pictures = []
    for schedule in SCHEDULES:
        nodes, g = Karras(12, 0.01, 50.0).nodes(schedule), generator(0)
        noise = lambda like: torch.randn(like.shape, dtype=like.dtype, generator=g)  # noqa: B023, E731
        like = torch.zeros(8, 1, 2, 2, dtype=torch.float64)
        pictures.append(last(run(sampler, WithVariance(ORACLE), nodes, noise, like)))
    for other in pictures[1:]:
        torch.testing.assert_close(other, pictures[0], rtol=1e-9, atol=1e-9)


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


CIRCLE = torch.linspace(math.pi / 2, 0, 13, dtype=torch.float64)  # its cosine begins with 6e-17, not with 0


@pytest.mark.parametrize("sampler", every())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    "nodes",
    [UniformT(n).nodes(Rectified()) for n in (1, 2, 12)]
    + [Nodes(CIRCLE.cos(), CIRCLE.sin()), Karras(12).nodes(VE()), UniformLogsnr(12, -20.0, 20.0).nodes(Cosine())],
    ids=lambda nodes: f"{nodes.alpha[0]:.0e}-{len(nodes)}",
)
def test_every_sampler_takes_every_step_to_a_finite_end(sampler: Sampler, dtype: torch.dtype, nodes: Nodes) -> None:
    """From no signal, to no noise, over wide steps: none blows up."""
    like = torch.zeros(3, 1, 2, 2, dtype=dtype)
    steps = list(run(sampler, WithVariance(ORACLE), nodes, SampleNoise(0, range(3)), like))
    assert len(steps) == len(nodes)
    for x in steps[-1]:
        assert (x.dtype, x.shape) == (dtype, like.shape)
        assert x.isfinite().all()
    # Within five deviations of the mean, as the data is.
    assert (steps[-1].x - 0.4).abs().max() < 5 * STD


@pytest.mark.parametrize("sampler", [p for p in every() if p.id != "adaptive"])  # which looks at x to find its steps
def test_states_stay_on_the_device_of_x(sampler: Sampler) -> None:
    """The meta device stands in for a GPU: it has no numbers that a sampler could look at."""
    x = torch.zeros(2, 1, 2, 2, device="meta")
    denoise = WithVariance(lambda x, alpha, sigma: alpha * x)
    assert last(sampler(denoise, x, UniformT(5).nodes(Cosine()), torch.zeros_like)).device.type == "meta"


@pytest.mark.parametrize("sampler", every())
def test_sample_does_not_depend_on_its_batch(sampler: Sampler) -> None:
    def pictures(indices: list[int]) -> Tensor:
        like = torch.zeros(len(indices), 1, 2, 2, dtype=torch.float64)
        return last(run(sampler, WithVariance(ORACLE), Karras(6).nodes(Cosine()), SampleNoise(3, indices), like))

    torch.testing.assert_close(pictures([4])[0], pictures([9, 4, 0])[1], rtol=1e-12, atol=1e-12)


def test_ddpm_with_the_posterior_variance_is_ddim_at_eta_one() -> None:
    for schedule in SCHEDULES:
        nodes, like = UniformT(20).nodes(schedule), torch.zeros(4, 1, 2, 2, dtype=torch.float64)
        one, other = (
            [step.x for step in run(sampler, ORACLE, nodes, SampleNoise(0, range(4)), like)]
            for sampler in (ddpm, partial(ddim, eta=1.0))
        )
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_ddpm_draws_no_noise_in_the_step_to_the_clean_picture() -> None:
    nodes, x = UniformT(1).nodes(Cosine()), torch.ones(1, 1, 2, 2, dtype=torch.float64)
    for variance in ("posterior", "upper", "learned"):
        (step,) = ddpm(WithVariance(ORACLE), x, nodes, silence, variance=variance)
        assert torch.equal(step.x, step.x0)


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (partial(ddpm, variance="small"), "sampler.variance=small .* posterior, upper, learned"),
        (partial(ddpm, variance="learned"), r"'ddpm' with variance=learned.*net.learn_variance=true objective=hybrid"),
        (partial(unipc, order=4), "sampler.order=4.*'unipc' has orders 1 to 3"),
        (partial(deis, order=0), "sampler.order=0.*'deis' has orders 1 to 4"),
        (partial(deis, variable="t"), "sampler.variable=t .*log_rho or rho"),
    ],
)
def test_numbers_that_no_sampler_has_are_refused_before_the_first_step(sampler: Sampler, message: str) -> None:
    with pytest.raises(DifflabError, match=message):
        Generation(sampler, UniformT(2).nodes(Cosine()), (1, 2, 2), {}).nfe()


@pytest.mark.parametrize("points_of", [lambda h: (0.0, h), lambda h: (h, 0.0)], ids=["up", "down"])
@pytest.mark.parametrize("h", [1e-3, 1.0, 10.0])
def test_the_mean_ahead_of_a_cubic_is_exact(points_of: Callable[[float], tuple[float, float]], h: float) -> None:
    """Against scipy's adaptive quadrature at 1e-13."""
    cubic = lambda v: 0.3 - v + 0.5 * v**2 + 0.1 * v**3  # noqa: E731
    start, end = points_of(h)
    past = [Guess(v, cubic(v)) for v in torch.tensor([start, -0.7, -1.1, -2.0], dtype=torch.float64)]
    ends = torch.tensor([start, end], dtype=torch.float64)
    for exponential in (True, False):
        weight = math.exp if exponential else lambda v: 1.0
        above, below = (quad(lambda v: weight(v) * f(v), start, end, epsrel=1e-13)[0] for f in (cubic, lambda v: 1.0))  # noqa: B023
        mean = mean_ahead(past, *ends, exponential=exponential)
        assert mean.item() == pytest.approx(above / below, rel=1e-10)


@pytest.mark.parametrize(
    ("sampler", "nfe"),
    [(ddim, 10), (ddpm, 10), (heun, 19), (dpmpp_2m, 10), (dpmpp_3m, 10), (dpmpp_sde, 10), (unipc, 10), (deis, 10)],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_nfe_is_counted(sampler: Sampler, nfe: int) -> None:
    assert Generation(sampler, Karras(10).nodes(Cosine()), (1, 4, 4), {}).nfe() == nfe


@pytest.mark.parametrize("tolerance", [1e-1, 1e-3, 1e-5])
@pytest.mark.parametrize("grid", [Karras(10), UniformT(10), UniformT(3)], ids=repr)
def test_nfe_of_the_adaptive_sampler_is_no_number(grid: Grid, tolerance: float) -> None:
    sampler = partial(adaptive, rtol=tolerance, atol=tolerance)
    assert Generation(sampler, grid.nodes(Cosine()), (1, 4, 4), {}).nfe() is None


def test_nfe_of_a_learned_variance_asks_for_a_network_that_has_one() -> None:
    generation = Generation(partial(ddpm, variance="learned"), Karras(10).nodes(Cosine()), (1, 4, 4), {})
    assert generation.nfe(learns_variance=True) == 10
    with pytest.raises(DifflabError, match="no variance head"):
        generation.nfe()


def test_nodes_of_the_adaptive_sampler_cost_nothing() -> None:
    """The grid says where it is looked at, not how it steps."""

    def calls(steps: int) -> int:
        called: list[Tensor] = []
        nodes, like = UniformLogsnr(steps, -8.0, 8.0).nodes(Cosine()), torch.zeros(1, 1, 2, 2, dtype=torch.float64)
        last(run(adaptive, lambda *at: called.append(at[1]) or ORACLE(*at), nodes, SampleNoise(0, [0]), like))
        return len(called)

    assert calls(3) == calls(43)


def test_a_denoiser_that_is_not_finite_ends_the_adaptive_sampler() -> None:
    nodes = UniformT(4).nodes(Cosine())
    with pytest.raises(DifflabError, match="'adaptive' finds no step short enough"):
        last(adaptive(lambda x, alpha, sigma: x * torch.nan, torch.ones(1, 1, 2, 2), nodes, silence))


def test_steps_carry_the_guess_that_led_there() -> None:
    nodes = UniformT(4).nodes(Cosine())
    steps: list[Step] = list(run(ddim, ORACLE, nodes, SampleNoise(0, [0]), torch.zeros(1, 1, 2, 2)))
    assert len(steps) == 4
    torch.testing.assert_close(steps[-1].x, steps[-1].x0)
