"""The hybrid objective: iDDPM's terms, an exact optimum, and the mean left alone."""

import math

import pytest
import torch
from torch import Tensor, nn

from difflab.denoiser import Denoiser
from difflab.errors import DifflabError
from difflab.hybrid import Hybrid, gaussian_kl, pixel_nll, reverse_step
from difflab.nets.mlp import MLP
from difflab.objective import Objective
from difflab.predictions import X0, Eps
from difflab.rng import generator
from difflab.schedules import VE, Cosine, Rectified, Schedule
from difflab.tables import Tabulated, linear_betas
from difflab.times import Uniform
from difflab.weightings import Snr

DDPM = Tabulated(linear_betas(1e-4, 0.02, 1000))
SCHEDULES = [Cosine(), Rectified(), VE(), DDPM]


def hybrid(schedule: Schedule, **numbers: float) -> Hybrid:
    return Hybrid(schedule, Snr(), Uniform(), **numbers)  # type: ignore[arg-type]


def test_kl_is_that_of_normal_distributions() -> None:
    distance, p, q = torch.randn(3, 50, generator=generator(0), dtype=torch.float64)
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(0.0, (p / 2).exp()), normal(distance, (q / 2).exp()))
    torch.testing.assert_close(gaussian_kl(distance, p, q), expected)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.3), (0.9, 0.01), (-1.4, 0.5)])
def test_masses_of_all_pixel_levels_sum_to_one(mean: float, std: float) -> None:
    levels = torch.arange(256, dtype=torch.float64) / 127.5 - 1
    nll = pixel_nll(levels, torch.full_like(levels, mean), torch.full_like(levels, std))
    assert (-nll).exp().sum().item() == pytest.approx(1, abs=1e-9)  # 256 levels are clamped to 1e-12 or more


def test_terms_are_those_of_iddpm() -> None:
    """2102.09672 eq. 15 and 2006.11239 eq. 5 to 13, from the betas."""
    betas = linear_betas(1e-4, 0.02, 1000)
    abar = torch.cumprod(1 - betas, 0)
    before = torch.cat([torch.ones(1).double(), abar[:-1]])
    tilde = betas * (1 - before) / (1 - abar)
    tilde[0] = tilde[1]
    pull = betas * before.sqrt() / (1 - abar)
    steps = torch.tensor([1, 2, 3, 300, 999, 1000])
    step = reverse_step(DDPM, steps.double() / 1000, 1000)
    # The borrowed bound is brought to the scale of x0, by 1 / abar_1 = 1.0001.
    torch.testing.assert_close(step.lower[0], tilde[0] / abar[0], rtol=1e-9, atol=0)
    torch.testing.assert_close(step.lower[1:], tilde[steps[1:] - 1], rtol=1e-9, atol=0)
    torch.testing.assert_close(step.upper, betas[steps - 1], rtol=1e-9, atol=0)
    torch.testing.assert_close(step.pull, pull[steps - 1], rtol=1e-9, atol=0)
    assert step.ends.tolist() == [True] + [False] * 5

    x0, guess = torch.rand(2, 6, 1, 4, 4, generator=generator(1), dtype=torch.float64) * 2 - 1
    fraction = torch.rand(6, 1, 4, 4, generator=generator(2), dtype=torch.float64)
    column = [a[steps - 1].reshape(-1, 1, 1, 1) for a in (pull, betas, tilde)]
    var = (fraction * column[1].log() + (1 - fraction) * column[2].log()).exp()
    kl = 0.5 * ((var / column[2]).log() + column[2] / var + (column[0] * (x0 - guess)) ** 2 / var - 1)
    bits = hybrid(DDPM).vlb(x0, guess, fraction, steps.double() / 1000)
    torch.testing.assert_close(bits[1:], kl.mean((1, 2, 3))[1:] / math.log(2), rtol=1e-7, atol=0)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
@pytest.mark.parametrize("t", [0.02, 0.3, 0.8])
def test_optimum_is_the_exact_variance_of_the_step(schedule: Schedule, t: float) -> None:
    """Where x0 is m +- s, the best variance is the posterior's plus (pull s)^2: the law of total variance."""
    time = torch.full((2,), t, dtype=torch.float64)
    step = reverse_step(schedule, time, 100)
    s = 0.7 * ((step.upper - step.lower) / step.pull**2).sqrt()[0]  # well between the bounds
    best = ((step.lower + (step.pull * s) ** 2) / step.lower).log() / (step.upper / step.lower).log()
    fraction = best[0].clone().requires_grad_()
    x0 = torch.stack([s, -s]).reshape(2, 1, 1, 1)
    loss = hybrid(schedule, levels=100).vlb(x0, torch.zeros_like(x0), fraction.expand(2, 1, 1, 1), time)
    (slope,) = torch.autograd.grad(loss.mean(), fraction)
    assert 0 < best[0] < 1
    assert abs(slope.item()) < 1e-6 * (step.upper / step.lower).log()[0]


def test_bound_trains_the_variance_and_not_the_mean() -> None:
    torch.manual_seed(0)
    net = MLP((1, 4, 4), 16, 1, learn_variance=True)
    nn.init.normal_(net.out.weight, std=0.1)
    x0 = torch.rand(8, 1, 4, 4, generator=generator(3)) * 2 - 1
    denoiser = Denoiser(net, Eps(), 0.5)

    def gradient(objective: Objective) -> Tensor:
        net.zero_grad()
        objective(denoiser, x0, generator(4)).per_sample.mean().backward()
        assert net.out.bias.grad is not None
        return net.out.bias.grad.clone()

    simple, both = gradient(Objective(DDPM, Snr(), Uniform())), gradient(hybrid(DDPM))
    torch.testing.assert_close(simple[:16], both[:16], rtol=1e-5, atol=1e-8)
    assert (simple[16:] == 0).all()
    assert (both[16:] != 0).all()


def test_term_does_not_depend_on_the_coordinates() -> None:
    """The same levels on the path alpha = 1 and on the circle give the same bits."""
    x0, guess = torch.rand(2, 5, 1, 4, 4, generator=generator(1), dtype=torch.float64)
    fraction = torch.full((5, 1, 4, 4), 0.4, dtype=torch.float64)

    class Circle(VE):
        def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
            alpha, sigma = super().alpha_sigma(t)
            r = (alpha**2 + sigma**2).sqrt()
            return alpha / r, sigma / r

    t = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9]).double()
    ve, circle = (hybrid(s).vlb(x0, guess, fraction, t) for s in (VE(), Circle()))
    torch.testing.assert_close(ve, circle, rtol=1e-9, atol=0)


def test_network_without_a_variance_is_refused() -> None:
    denoiser = Denoiser(MLP((1, 4, 4), 16, 1), X0(), 0.5)
    with pytest.raises(DifflabError, match=r"net\.learn_variance=true"):
        hybrid(DDPM)(denoiser, torch.zeros(2, 1, 4, 4), generator(0))
    with pytest.raises(DifflabError, match=r"net\.learn_variance=true"):
        denoiser.with_variance(torch.zeros(2, 1, 4, 4), torch.tensor(0.6), torch.tensor(0.8))
