"""Densities along the probability-flow ODE against the exact ones of Gaussians and mixtures."""

import math

import pytest
import torch
from torch import Tensor

from difflab.denoiser import Denoiser
from difflab.metrics import dequantisation
from difflab.metrics.dequantisation import truncated_normal, uniform
from difflab.metrics.divergence import Hutchinson, exact, guess_and_trace
from difflab.metrics.estimates import FlowBits, FlowDraws, flow_bits, over_pictures
from difflab.metrics.flow_likelihood import RK4, Adaptive, Ends, Heun, ends, log_density
from difflab.metrics.ladder import first_time
from difflab.nets.mlp import MLP
from difflab.nets.unet import UNet
from difflab.oracles import Mixture, gaussian
from difflab.predictions import V
from difflab.rng import generator
from difflab.schedules import VE, Cosine, LinearVP, Rectified, Schedule

SCHEDULES = [Cosine(), VE(), Rectified(), LinearVP()]
STD = 0.5
LEVELS = torch.arange(256, dtype=torch.float64) / 127.5 - 1


def on(schedule: Schedule, sigma_data: float = STD, sigma_min: float = 0.002) -> Ends:
    return ends(schedule, sigma_data, first_time(schedule, schedule.t_min, sigma_min, "sigma_min"))


def bits(nats: Tensor, like: Tensor) -> Tensor:
    return nats / like[0].numel() / math.log(2)


def normal(n: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.randn(n, *shape, generator=generator(seed), dtype=torch.float64)


def mixture() -> Mixture:
    """Two clusters of unlike width around 0, in four pixels."""
    axis = torch.tensor([1.0, 0.5, -1.0, 0.2], dtype=torch.float64).reshape(1, 2, 2)
    weights = torch.tensor([0.4, 0.6], dtype=torch.float64)
    means = torch.stack([-0.6 * axis, 0.4 * axis])
    return Mixture(means, torch.tensor([0.2, 0.1], dtype=torch.float64), weights)


def log_density_of(data: Mixture, y: Tensor, sigma: float) -> Tensor:
    """Of x0 + sigma eps, in closed form."""
    var = data.std**2 + sigma**2
    square = (y.flatten(1)[:, None] - data.means.flatten(1)).square().sum(-1)
    size = y[0].numel()
    return (data.weights.log() - square / (2 * var) - size / 2 * (2 * math.pi * var).log()).logsumexp(1)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
def test_density_of_a_gaussian_is_exact_at_every_point(schedule: Schedule) -> None:
    y = STD * 1.5 * normal(20, 1, 2, 2)
    denoise, path = gaussian(torch.zeros(1, 2, 2, dtype=torch.float64), STD), on(schedule)
    found = log_density(denoise, y, path, exact, RK4(16))
    true = torch.distributions.Normal(0, math.hypot(STD, path.sigma_min)).log_prob(y).flatten(1).sum(1)
    assert bits(found - true, y).abs().max() < 1e-3


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
def test_density_of_a_mixture_is_exact_at_every_point(schedule: Schedule) -> None:
    data = mixture()
    which = torch.arange(20) % 2
    y = data.means[which] + data.std[which].reshape(-1, 1, 1, 1) * normal(20, 1, 2, 2)
    path = on(schedule, sigma_data=0.4)
    found = log_density(data, y, path, exact, RK4(40))
    assert bits(found - log_density_of(data, y, path.sigma_min), y).abs().max() < 1e-3


def test_orders_of_the_solvers() -> None:
    data, path = mixture(), on(Cosine())
    y = data.means + 0.1
    true = log_density_of(data, y, path.sigma_min)

    def error(solve: Heun | RK4) -> float:
        return bits(log_density(data, y, path, exact, solve) - true, y).abs().max().item()

    assert math.log2(error(Heun(60)) / error(Heun(120))) == pytest.approx(2, abs=0.25)
    assert math.log2(error(RK4(30)) / error(RK4(60))) == pytest.approx(4, abs=0.5)


def test_torchdiffeq_agrees() -> None:
    data, path = mixture(), on(Rectified())
    y = data.means[:1] + 0.05
    fine, adaptive = (log_density(data, y, path, exact, solve) for solve in (RK4(60), Adaptive(1e-6, 1e-6)))
    assert bits(fine - adaptive, y).abs().max() < 1e-3


@pytest.mark.parametrize("schedule", [VE(sigma_max=5.0), LinearVP(t_max=0.6)], ids=lambda s: s.name)
def test_prior_costs_its_divergence_from_the_truth(schedule: Schedule) -> None:
    """Data around m, a prior around 0: (alpha m)^2 / (2 (sigma^2 + alpha^2 d^2)) nats on average."""
    m, path = 0.4, on(schedule)
    alpha, sigma = path.noisy
    e = normal(400, 1, 1, 1)
    y = m + STD * torch.cat([e, -e])  # in pairs, so that the term linear in y has mean 0
    found = log_density(gaussian(torch.full((1, 1, 1), m, dtype=torch.float64), STD), y, path, exact, RK4(16))
    true = torch.distributions.Normal(m, math.hypot(STD, path.sigma_min)).log_prob(y).flatten(1).sum(1)
    kl = (alpha * m) ** 2 / (2 * (sigma**2 + (alpha * STD) ** 2))
    assert (true - found).mean().item() == pytest.approx(kl, rel=1e-2)


def jacobian_of(weight: Tensor) -> Tensor:
    return torch.autograd.functional.jacobian(lambda x: (x @ weight).tanh(), torch.zeros(1, 6).double())[0, :, 0]


@pytest.mark.parametrize("kind", ["rademacher", "gaussian"])
def test_trace_is_estimated_without_bias(kind: str) -> None:
    weight = normal(6, 6)

    def denoise(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return (x @ weight).tanh()

    x, one = torch.zeros(4000, 6, dtype=torch.float64), torch.tensor(1.0)
    true = jacobian_of(weight).trace()
    axes = guess_and_trace(denoise, x[:1], one, one, exact)[1]
    torch.testing.assert_close(axes[0], true)
    own = [generator(0, i) for i in range(4000)]
    found = guess_and_trace(denoise, x, one, one, Hutchinson(own, kind, 2))[1]
    assert abs(found.mean() - true) < 4 * found.std() / 4000**0.5
    # Of +-1 the squares are constant, so that the diagonal adds nothing.
    symmetric = (weight + weight.T) / 2
    off = symmetric if kind == "gaussian" else symmetric - symmetric.diag().diag()
    assert found.std().item() == pytest.approx((2 * off.square().sum() / 2).sqrt().item(), rel=0.05)


def blob(size: int = 6) -> tuple[Mixture, Ends]:
    """Data whose denoiser has a Jacobian that is no multiple of the identity, so that probes matter."""
    along = torch.linspace(-0.6, 0.6, size, dtype=torch.float64).reshape(1, 1, size)
    weights = torch.tensor([0.5, 0.5], dtype=torch.float64)
    return Mixture(torch.stack([along, -along]), torch.full((2,), 0.2).double(), weights), on(Cosine(), 0.4)


def drawn(x0: Tensor, seed: int = 0, batch: int = 4096, twice: int = 0, fixed: bool = False) -> FlowBits:
    data, path = blob()
    draws = FlowDraws(uniform, "rademacher", 1, fixed, twice)
    return flow_bits(data, path, RK4(8), draws, x0, range(len(x0)), seed, batch)


@pytest.mark.parametrize("fixed", [True, False])
def test_probes_along_a_path_leave_the_mean(fixed: bool) -> None:
    """One picture many times: its draws against exact traces at the same points."""
    data, path = blob()
    x0 = LEVELS[[60, 90, 120, 130, 160, 200]].reshape(1, 1, 1, 6).expand(800, -1, -1, -1)
    found = drawn(x0, fixed=fixed).first
    axes = flow_bits(data, path, RK4(8), FlowDraws(uniform, "", None, False, 0), x0, range(800), 0, 4096).first
    error = (found - axes).std() / 800**0.5
    assert 0 < error < 0.02
    assert abs((found - axes).mean()) < 4 * error


def test_errors_are_those_of_independent_figures() -> None:
    """100 figures of 8 pictures each: they spread by the error they report, and over second draws of the same pictures
    by the part of it that is not the pictures' own."""
    x0 = LEVELS[torch.randint(90, 170, (800, 1, 1, 6), generator=generator(5))]
    found = drawn(x0, twice=800)
    first, second = (part.reshape(100, 8) for part in found)
    estimates = [over_pictures(*pair) for pair in zip(first, second, strict=True)]
    error = sum(e.error or math.nan for e in estimates) / 100
    assert error == pytest.approx(first.mean(1).std().item(), rel=0.2)
    of_draws = sum(e.of_draws or math.nan for e in estimates) / 100
    assert of_draws == pytest.approx((first.mean(1) - second.mean(1)).std().item() / 2**0.5, rel=0.2)
    assert of_draws < error


def test_picture_does_not_depend_on_its_batch_or_its_fellows() -> None:
    x0 = LEVELS[torch.randint(90, 170, (7, 1, 1, 6), generator=generator(5))]
    together = drawn(x0, twice=2)
    torch.testing.assert_close(together, drawn(x0, batch=2, twice=2), rtol=1e-12, atol=1e-12)
    data, path = blob()
    draws = FlowDraws(uniform, "rademacher", 1, False, 0)
    alone = flow_bits(data, path, RK4(8), draws, x0[[4, 1]], [4, 1], 0, 64).first
    torch.testing.assert_close(together.first[[4, 1]], alone, rtol=1e-12, atol=1e-12)
    assert (together.first != drawn(x0, seed=1).first).all()
    assert (together.first[:2] != together.second).all()


@pytest.mark.parametrize("kind", dequantisation.KINDS)
def test_dequantised_bits_are_above_those_of_the_levels(kind: str) -> None:
    """Gaussian pixels, exact masses: the flow's mean is the bound's own integral, and that is not below the entropy."""
    std = 0.01  # about a grey level, where spreading costs something
    edges = torch.cat([LEVELS - 1 / 255, LEVELS[-1:] + 1 / 255])
    path, n = on(Cosine(), std), 40
    width = math.hypot(std, path.sigma_min)
    mass = torch.special.ndtr(edges / width).diff()
    x0 = LEVELS[mass > 1e-7]
    mass = mass[mass > 1e-7]
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    rows = x0.repeat_interleave(n).reshape(-1, 1, 1, 1)
    y, log_q = dequantisation.KINDS[kind](rows, u.repeat(len(x0)).reshape(-1, 1, 1, 1), path.sigma_min)
    denoise = gaussian(torch.zeros(1, 1, 1, dtype=torch.float64), std)
    per_point = bits(log_q - log_density(denoise, y, path, exact, RK4(60)), y)
    found = (mass[:, None] * per_point.reshape(-1, n)).sum().item()
    true = torch.distributions.Normal(0, width).log_prob(y).flatten()
    bound = (mass[:, None] * bits(log_q - true, y).reshape(-1, n)).sum().item()
    assert found == pytest.approx(bound, abs=1e-3)
    assert found > -(mass * mass.log2()).sum().item() + 1e-3


def test_points_are_in_their_bins_and_as_dense_as_said() -> None:
    x0 = LEVELS[[0, 100, 255]].reshape(-1, 1, 1, 1).expand(-1, 1, 1, 1)
    u = torch.linspace(0, 1, 2001, dtype=torch.float64)[:-1] + 1 / 4000
    for kind in (uniform, truncated_normal):
        rows = x0[1:2].expand(len(u), 1, 1, 1)
        y, log_q = kind(rows, u.reshape(-1, 1, 1, 1), 0.002)
        away = (y - rows).flatten()
        assert away.abs().max() <= 1 / 255
        # The density is the slope of u over y.
        slope = (1 / 2000) / away.diff()
        torch.testing.assert_close(slope.log(), (log_q[1:] + log_q[:-1]) / 2, rtol=0, atol=2e-2)


@pytest.mark.parametrize("channels_last", [True, False])
def test_shipped_networks_have_a_trace_in_eval_mode(channels_last: bool) -> None:
    """Of a U-Net with attention, in place activations and channels_last, against the whole Jacobian."""
    torch.manual_seed(0)
    net = UNet((1, 8, 8), 8, [1, 2], 1, [4]) if channels_last else MLP((1, 8, 8), 16, 2)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    denoiser = Denoiser(net, V(0.5), 0.5).eval().requires_grad_(False)
    x, level = torch.randn(1, 1, 8, 8, generator=generator(1)), (torch.tensor(0.8), torch.tensor(0.6))
    jacobian = torch.autograd.functional.jacobian(lambda x: denoiser(x, *level), x).reshape(64, 64)
    with torch.inference_mode():
        guess, trace = guess_and_trace(denoiser, x, *level, exact)
    torch.testing.assert_close(trace[0], jacobian.trace().double(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(guess, denoiser(x, *level), rtol=1e-5, atol=1e-5)
