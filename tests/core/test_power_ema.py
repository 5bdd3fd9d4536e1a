"""Power-function averages: the recursion is its closed form, and two kept ones span any other length."""

import numpy as np
import pytest
import torch
from ema_pytorch import KarrasEMA
from ema_pytorch.post_hoc_ema import sigma_rel_to_gamma, solve_weights
from torch import Tensor

from difflab.ema import Ema
from difflab.errors import DifflabError
from difflab.power_ema import Power, beta, gamma_of, inner, least_squares, reconstruction, sigma_rel_of

LENGTHS = [0.01, 0.03, 0.05, 0.1, 0.15, 0.25]
BATCH, STEPS = 64, 512
ENDS = BATCH * torch.arange(1, STEPS + 1, dtype=torch.float64)
LAST = BATCH * STEPS
KEPT = [Power(LAST * i // 16, gamma_of(s)) for i in range(16, 0, -1) for s in (0.03, 0.1)]


def followed(walk: Tensor, sigma_rel: float) -> Tensor:
    """What the callback does, step by step."""
    ema = Ema([torch.randn(walk.shape[1:])])
    for step, weights in enumerate(walk, start=1):
        ema.update([weights], beta(BATCH, BATCH * step, gamma_of(sigma_rel)))
    return ema.average[0]


def random_walk(coordinates: int) -> Tensor:
    """Of unit steps, in float64."""
    steps = torch.randn(STEPS, coordinates, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return steps.cumsum(0)


@pytest.mark.parametrize("sigma_rel", LENGTHS)
def test_length_is_the_standard_deviation_of_the_density(sigma_rel: float) -> None:
    gamma = gamma_of(sigma_rel)
    assert sigma_rel_of(gamma) == pytest.approx(sigma_rel, rel=1e-9)
    assert gamma == pytest.approx(sigma_rel_to_gamma(sigma_rel), rel=1e-12)
    t = (torch.arange(1_000_000, dtype=torch.float64) + 0.5) / 1_000_000
    p = (gamma + 1) * t**gamma / 1_000_000
    mean = (p * t).sum()
    assert (p * (t - mean) ** 2).sum().sqrt().item() == pytest.approx(sigma_rel, rel=1e-6)


@pytest.mark.parametrize("sigma_rel", [0.0, -0.1, 0.2887, 1.0, float("nan"), float("inf")])
def test_length_that_no_power_function_has_is_refused(sigma_rel: float) -> None:
    with pytest.raises(DifflabError, match=r"a share of the run above 0 and below 0\.2887"):
        gamma_of(sigma_rel)


@pytest.mark.parametrize("sigma_rel", LENGTHS)
def test_recursion_is_its_closed_form(sigma_rel: float) -> None:
    """Steps of several sizes: each is the exact integral of the density over its images."""
    sizes = torch.tensor([1, 7, 64, 32, 32, 128, 5] * 40)
    weights, ends = torch.zeros(len(sizes), dtype=torch.float64), sizes.cumsum(0)
    for i, (size, end) in enumerate(zip(sizes.tolist(), ends.tolist(), strict=True)):
        keep = beta(size, end, gamma_of(sigma_rel))
        weights *= keep
        weights[i] += 1 - keep
    closed = Power(int(ends[-1]), gamma_of(sigma_rel)).steps(ends.double())
    torch.testing.assert_close(weights, closed, rtol=1e-9, atol=1e-15)
    assert closed.sum().item() == pytest.approx(1, abs=1e-12)


def test_first_step_forgets_the_random_start() -> None:
    assert beta(64, 64, 10.0) == 0
    first = torch.tensor([1.0, -3.0, 1e-3])
    ema = Ema([torch.full((3,), 1e6)])
    ema.update([first], beta(64, 64, 10.0))
    assert torch.equal(ema.average[0], first)


def test_recursion_is_that_of_another_library() -> None:
    """With one image a step, and its first weights counted as two steps: it averages step i with 1 - 1/(i + 1)."""
    net = torch.nn.Linear(4, 3, bias=False)
    theirs, ours = KarrasEMA(net, sigma_rel=0.1, update_every=1), Ema(net.parameters())
    for step in range(1, 100):
        with torch.no_grad():
            net.weight.add_(torch.randn_like(net.weight))
        if step == 1:
            ours.update(net.parameters(), beta(1, 1, gamma_of(0.1)))
        ours.update(net.parameters(), beta(1, step + 1, gamma_of(0.1)))
        theirs.update()
    torch.testing.assert_close(ours.average[0], theirs.ema_model.weight.detach(), rtol=1e-5, atol=1e-5)


def test_inner_products_are_the_integrals() -> None:
    profiles = [Power(1000, gamma_of(0.1)), Power(700, gamma_of(0.2)), Power(1000, gamma_of(0.05)), Power(300, 3.0)]
    t = (torch.arange(1_000_000, dtype=torch.float64) + 0.5) / 1000
    p = torch.stack([(q.gamma + 1) * (t / q.nimg) ** q.gamma / q.nimg * (t <= q.nimg) for q in profiles])
    torch.testing.assert_close(inner(profiles, profiles), p @ p.T / 1000, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("sigma_rel", LENGTHS)
def test_least_squares_is_that_of_another_library(sigma_rel: float) -> None:
    wanted = Power(LAST, gamma_of(sigma_rel))
    at, gammas = (torch.tensor([float(getattr(p, name)) for p in KEPT]).double() for name in ("nimg", "gamma"))
    theirs = solve_weights(at, gammas, torch.tensor([LAST]), torch.tensor([wanted.gamma]).double())[:, 0]
    torch.testing.assert_close(least_squares(KEPT, wanted).coefficients, theirs, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("i", [0, 1, 8, 13])
def test_a_kept_average_is_itself(i: int) -> None:
    """At the end, and at a snapshot in the middle out of those up to it."""
    mix = reconstruction(KEPT[i // 2 * 2 :], KEPT[i])
    expected = torch.zeros_like(mix.coefficients)
    expected[i % 2] = 1
    torch.testing.assert_close(mix.coefficients, expected, rtol=0, atol=1e-6)
    assert mix.mismatch < 1e-6


@pytest.mark.parametrize("sigma_rel", LENGTHS)
def test_weights_that_do_not_change_are_their_average(sigma_rel: float) -> None:
    """EDM2's least squares leave out up to 4 % of them."""
    wanted = Power(LAST, gamma_of(sigma_rel))
    ours, edm2 = reconstruction(KEPT, wanted), least_squares(KEPT, wanted)
    assert ours.coefficients.sum().item() == pytest.approx(1, abs=1e-9)
    assert edm2.mismatch <= ours.mismatch + 1e-9 <= 1.1 * edm2.mismatch + 2e-9


@pytest.mark.parametrize("sigma_rel", [0.02, 0.05, 0.15, 0.2])
def test_reconstruction_misses_a_random_walk_by_what_theory_says(sigma_rel: float) -> None:
    """The error of a coordinate is the sum of unit steps, each times the density that is missed from it on."""
    walk, wanted = random_walk(4000), Power(LAST, gamma_of(sigma_rel))
    mix = reconstruction(KEPT, wanted)
    kept = torch.stack([p.steps(ENDS) for p in KEPT])
    missed = wanted.steps(ENDS) - mix.coefficients @ kept
    predicted = missed.flip(0).cumsum(0).norm()
    direct = wanted.steps(ENDS) @ walk
    found = (mix.coefficients @ (kept @ walk) - direct).square().mean().sqrt()
    assert found.item() == pytest.approx(predicted.item(), rel=0.05)
    assert found < 0.05 * (walk[-1] - direct).square().mean().sqrt()  # of how far the average is from the last weights


def test_mismatch_is_that_of_the_densities() -> None:
    wanted = Power(1000, gamma_of(0.06))
    kept = [Power(1000, gamma_of(0.05)), Power(800, gamma_of(0.1)), Power(1000, gamma_of(0.1))]
    mix = reconstruction(kept, wanted)
    t = (np.arange(1_000_000) + 0.5) / 1000

    def density(p: Power) -> np.ndarray:
        return (p.gamma + 1) * (t / p.nimg) ** p.gamma / p.nimg * (t <= p.nimg)

    made = sum(c * density(p) for c, p in zip(mix.coefficients.tolist(), kept, strict=True))
    error = np.linalg.norm(made - density(wanted)) / np.linalg.norm(density(wanted))
    assert mix.mismatch == pytest.approx(error, rel=1e-3)


def test_averages_followed_in_float32_give_one_of_another_length() -> None:
    """Through the averages of the callback, against one that was followed from the start."""
    walk = random_walk(50).float()
    snapshots = {p: followed(walk[: p.nimg // BATCH], sigma_rel_of(p.gamma)) for p in KEPT}
    mix = reconstruction(KEPT, Power(LAST, gamma_of(0.07)))
    made = sum(c * snapshots[p].double() for c, p in zip(mix.coefficients.tolist(), KEPT, strict=True))
    assert isinstance(made, Tensor)
    direct = followed(walk, 0.07).double()
    assert (made - direct).norm() < 0.01 * (walk[-1] - direct).norm()
