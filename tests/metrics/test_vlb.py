"""The variational bound against exact answers: entropies of pixels, closed forms, a second implementation."""

import math
from itertools import pairwise

import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from difflab.denoiser import Denoise, Denoiser
from difflab.errors import DifflabError
from difflab.hybrid import Hybrid
from difflab.logsnr_schedules import Laplace
from difflab.metrics.estimates import Terms, bound_terms, over_pictures
from difflab.metrics.ladder import Ladder, ladder
from difflab.metrics.level_draws import LevelDraws
from difflab.metrics.vlb import Bound, log_mass, variance_of
from difflab.nets.mlp import MLP
from difflab.oracles import Mixture, gaussian
from difflab.predictions import X0
from difflab.rng import generator
from difflab.schedules import VE, Cosine, LinearVP, Rectified, Schedule
from difflab.tables import Tabulated, linear_betas
from difflab.times import Uniform
from difflab.weightings import Snr

MEAN, STD = 0.1, 0.012  # of Gaussian pixels, so narrow that few levels have a mass worth counting
LEVELS = torch.arange(256, dtype=torch.float64) / 127.5 - 1
DDPM = Tabulated(linear_betas(1e-4, 0.02, 1000))
SCHEDULES = [Cosine(), VE(), Rectified(), LinearVP(), Laplace(), DDPM]


def masses() -> tuple[Tensor, Tensor]:
    """The levels that Gaussian pixels take, and how often: differences of the normal distribution's cdf."""
    edges = torch.from_numpy(norm.cdf(torch.cat([LEVELS - 1 / 255, LEVELS[-1:] + 1 / 255]).numpy(), MEAN, STD))
    mass = edges.diff()
    kept = mass > 1e-7
    return LEVELS[kept].reshape(-1, 1, 1, 1), mass[kept] / mass[kept].sum()


def entropy(mass: Tensor) -> float:
    """Bits of a pixel of the best code there is."""
    return -(mass * mass.log2()).sum().item()


def expected(bound: Bound, x0: Tensor, mass: Tensor, eps: Tensor, weight: Tensor) -> tuple[float, float]:
    """L_0 and the sum of all other terms: sums over every level of a pixel and nodes of its noise."""
    rows, noise = x0.repeat_interleave(len(eps), 0), eps.repeat(len(x0)).reshape(-1, 1, 1, 1)
    w = mass.repeat_interleave(len(eps)) * weight.repeat(len(x0))

    def at(levels: Tensor) -> Tensor:
        n = len(levels)
        every = bound.terms(rows.repeat(n, 1, 1, 1), noise.repeat(n, 1, 1, 1), levels.repeat_interleave(len(rows)))
        return every.reshape(n, len(rows)) @ w

    found = torch.cat([at(part) for part in torch.arange(len(bound.ladder)).split(50)])
    return found[0].item(), (found[1:].sum() + (w * bound.prior(rows)).sum()).item()


def limit(bits: list[float]) -> float:
    """Of values at L, 2 L and 4 L levels, the 1/L and 1/L^2 taken away: Romberg's rule."""
    coarse, middle, fine = bits
    first, second = 2 * middle - coarse, 2 * fine - middle
    return (4 * second - first) / 3


def smooth_nodes() -> tuple[Tensor, Tensor]:
    """Nodes and weights for a normal variable, by the trapezoid rule."""
    eps = torch.linspace(-5.6, 5.6, 57, dtype=torch.float64)
    return eps, torch.softmax(-(eps**2) / 2, 0)


@pytest.fixture(scope="module")
def perfect() -> dict[int, float]:
    """The bound of the exact denoiser of discrete pixels, by the number of levels."""
    x0, mass = masses()
    denoise = Mixture(x0, torch.zeros(len(mass), dtype=torch.float64), mass)
    ladders = {n: ladder(Cosine(t_max=0.98), n, 0.001, "logsnr") for n in (150, 300, 600)}
    bounds = {n: Bound(denoise, steps, "posterior", STD) for n, steps in ladders.items()}
    return {n: sum(expected(bound, x0, mass, *smooth_nodes())) for n, bound in bounds.items()}


def test_perfect_model_is_above_the_entropy_by_a_constant_over_the_levels(perfect: dict[int, float]) -> None:
    excess = [bits - entropy(masses()[1]) for bits in perfect.values()]
    orders = [math.log2(a / b) for a, b in pairwise(excess)]
    assert min(excess) > 0
    assert orders == pytest.approx([1, 1], abs=0.06)
    assert abs(orders[1] - 1) < abs(orders[0] - 1)


def test_perfect_model_reaches_the_entropy_in_the_limit(perfect: dict[int, float]) -> None:
    """What is left is L_0, 7e-4: the noise of the first level is a quarter of half a grey level."""
    assert limit(list(perfect.values())) == pytest.approx(entropy(masses()[1]), abs=1e-3)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
@pytest.mark.parametrize("variance", ["posterior", "upper"])
def test_gaussian_bound_is_the_closed_form_in_the_limit(schedule: Schedule, variance: str) -> None:
    """The steps and the prior sum to KL(q(x_1 | x0) || p(x_1)), up to the last level's tiny KL of prior and truth."""
    x0, mass = masses()
    denoise, std = gaussian(torch.full((1, 1, 1), MEAN, dtype=torch.float64), STD), STD
    two = torch.tensor([-1.0, 1.0], dtype=torch.float64)  # exact for the squares that all terms but L_0 are
    bits = {}
    for n in (150, 300, 600):
        bound = Bound(denoise, ladder(schedule, n, 0.004, "logsnr"), variance, std, clip=False)
        bits[n] = expected(bound, x0, mass, two, two.abs() / 2)[1]
    alpha, sigma = bound.ladder.alpha[0], bound.ladder.sigma[0]
    p = torch.distributions.Normal(alpha * MEAN, ((alpha * std) ** 2 + sigma**2).sqrt())
    exact = torch.distributions.kl_divergence(torch.distributions.Normal(alpha * x0.flatten(), sigma), p)
    exact_bits = (mass * exact).sum().item() / math.log(2)
    assert bits[150] > bits[300] > bits[600] > exact_bits
    assert limit(list(bits.values())) == pytest.approx(exact_bits, abs=1e-3)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
def test_gaussian_bound_is_above_the_entropy(schedule: Schedule) -> None:
    """Levels even in t as trained, few of them, and the first one where the schedule has it."""
    x0, mass = masses()
    denoise = gaussian(torch.full((1, 1, 1), MEAN, dtype=torch.float64), STD)
    for sigma_min in (None, 0.004):
        bound = Bound(denoise, ladder(schedule, 60, sigma_min), "posterior", STD)
        assert sum(expected(bound, x0, mass, *smooth_nodes())) > entropy(mass)


def test_masses_of_pixels_are_scipys_and_sum_to_one() -> None:
    x0 = LEVELS.reshape(-1, 1, 1, 1)
    for mean, std in ((0.0, 0.3), (0.97, 0.02), (-1.5, 0.4), (0.2, 1e-3)):
        found = log_mass(x0, torch.full_like(x0, mean), torch.tensor(std, dtype=torch.float64)).flatten()
        assert found.exp().sum().item() == pytest.approx(1, abs=1e-12)
        edges = torch.cat([torch.tensor([-math.inf]).double(), LEVELS[1:] - 1 / 255, torch.tensor([math.inf]).double()])
        exact = torch.from_numpy(norm.cdf(edges.numpy(), mean, std)).diff()
        torch.testing.assert_close(found.exp(), exact, rtol=1e-6, atol=1e-15)


def test_a_sure_and_wrong_guess_has_no_floor() -> None:
    """3000 standard deviations off: -log of the mass is half their square, where 1e-12 would be 28."""
    found = log_mass(torch.zeros(1, 1), torch.full((1, 1), 0.3).double(), torch.tensor([[1e-4]]).double())
    assert -found.item() == pytest.approx(((0.3 - 1 / 255) / 1e-4) ** 2 / 2, rel=1e-3)


@pytest.mark.parametrize("schedule", [DDPM, Tabulated(linear_betas(1e-4, 0.2, 100))], ids=["1000", "100"])
def test_table_gives_its_own_nodes(schedule: Tabulated) -> None:
    n = round(1 / schedule.t_min)
    steps = ladder(schedule, n)
    alpha, sigma = schedule.alpha_sigma(torch.arange(1, n + 1, dtype=torch.float64) / n)
    torch.testing.assert_close(steps.alpha, alpha)
    torch.testing.assert_close(steps.sigma, sigma)


def test_terms_of_a_learned_variance_are_those_it_was_trained_on() -> None:
    """The hybrid objective's, one level after another; both halves of the head at random."""
    torch.manual_seed(0)
    net = MLP((1, 2, 2), 8, 1, learn_variance=True)
    torch.nn.init.normal_(net.out.weight, std=0.02)
    denoiser, steps = Denoiser(net, X0(), 0.5).double().requires_grad_(False), ladder(DDPM, 1000)
    level = torch.tensor([0, 1, 2, 500, 999])
    x0, eps = LEVELS[torch.randint(0, 256, (5, 1, 2, 2), generator=generator(1))], torch.randn(5, 1, 2, 2).double()
    found = Bound(denoiser, steps, "learned", 0.5, clip=False).terms(x0, eps, level)
    alpha, sigma = (a[level].reshape(-1, 1, 1, 1) for a in (steps.alpha, steps.sigma))
    x0_hat, fraction = denoiser.with_variance(alpha * x0 + sigma * eps, alpha, sigma)
    trained = Hybrid(DDPM, Snr(), Uniform()).vlb(x0, x0_hat, fraction, (level + 1).double() / 1000)
    assert ((fraction > 0) & (fraction < 1)).all()
    far = trained > 30  # where the objective's floor of 1e-12 holds its L_0
    torch.testing.assert_close(found[~far], trained[~far], rtol=1e-6, atol=0)
    assert (~far[1:]).any()


def small(levels: int = 40, n: int = 300) -> tuple[Bound, Tensor]:
    """A bound of a denoiser that is wrong, and pictures of two pixels."""
    denoise: Denoise = gaussian(torch.full((1, 1, 2), 0.3, dtype=torch.float64), 0.2)
    x0 = LEVELS[torch.randint(60, 200, (n, 1, 1, 2), generator=generator(0))]
    return Bound(denoise, ladder(Cosine(), levels), "posterior", 0.4), x0


def terms(bound: Bound, x0: Tensor, k: int | None, seed: int = 0, batch: int = 4096) -> Terms:
    return bound_terms(bound, LevelDraws(bound.ladder, 0.4, k), x0, range(len(x0)), seed, batch)


def test_few_levels_have_the_sum_of_all_as_their_mean() -> None:
    bound, x0 = small(n=1)
    x0 = x0.expand(2000, -1, -1, -1)  # one picture, so that all that varies is the draw
    everything, few = terms(bound, x0[:400], None).total(), terms(bound, x0, 3).total()
    error = (few.var() / len(few) + everything.var() / len(everything)).sqrt().item()
    assert error < 0.03 * everything.mean()
    assert abs(few.mean() - everything.mean()) < 4 * error


def test_probabilities_of_levels_are_those_of_the_draws() -> None:
    bound, _ = small()
    draws = LevelDraws(bound.ladder, 0.4, 7)
    density, counts = draws.density(), torch.zeros(40, dtype=torch.float64)
    assert density.sum().item() == pytest.approx(1)
    for i in range(1000):
        level, weight = draws(generator(0, i))
        assert level[0] == 0 and weight[0] == 1
        torch.testing.assert_close(weight[1:], 1 / (7 * density[level[1:]]))
        counts += level[1:].bincount(minlength=40)
    torch.testing.assert_close(counts / 7000, density, rtol=0, atol=0.005)


def test_error_is_that_of_independent_pictures_and_draws() -> None:
    """The standard deviation of 150 figures, each of its own 30 pictures and draws, is what they report."""
    bound, x0 = small(n=4500)
    found = terms(bound, x0, 2).total()
    estimates = [over_pictures(part) for part in found.split(30)]
    spread = torch.tensor([e.value for e in estimates]).std().item()
    reported = sum(e.error or math.nan for e in estimates) / len(estimates)
    assert reported == pytest.approx(spread, rel=0.2)


def test_picture_does_not_depend_on_its_batch_or_its_fellows() -> None:
    bound, x0 = small(n=9)
    draws = LevelDraws(bound.ladder, 0.4, 5)
    together = terms(bound, x0, 5)
    torch.testing.assert_close(together.total(), terms(bound, x0, 5, batch=4).total(), rtol=1e-12, atol=0)
    alone = bound_terms(bound, draws, x0[[6, 2]], [6, 2], 0, 64).total()
    torch.testing.assert_close(together.total()[[6, 2]], alone, rtol=1e-12, atol=0)
    assert (together.total() != terms(bound, x0, 5, seed=1).total()).all()


def test_parts_sum_to_the_whole() -> None:
    bound, x0 = small(n=20)
    found = terms(bound, x0, 6)
    parts = found.prior + sum(found.within(i, i + 1) for i in range(40))
    torch.testing.assert_close(parts, found.total())


def test_ladder_begins_where_it_is_told() -> None:
    for schedule in SCHEDULES:
        for spacing in ("t", "logsnr"):
            steps = ladder(schedule, 50, 0.05, spacing)
            assert (steps.sigma[0] / steps.alpha[0]).item() >= 0.05 * (1 - 1e-9)
            assert (steps.logsnr.diff() < 0).all()
    assert ladder(Cosine(), 50).alpha[-1] == 0
    steps = ladder(Cosine(), 1000, 0.004)
    assert (steps.sigma[0] / steps.alpha[0]).item() == pytest.approx(0.004)


def test_misuse_is_refused_in_one_line() -> None:
    denoise = gaussian(torch.zeros(1, 1, 1), 0.5)
    steps = ladder(Cosine(), 10)
    with pytest.raises(DifflabError, match=r"vlb\.sigma_min=100: schedule 've' ends with less noise"):
        ladder(VE(), 10, 100)
    with pytest.raises(DifflabError, match="2 levels or more"):
        ladder(VE(), 1)
    with pytest.raises(DifflabError, match="each noisier than the one before"):
        Ladder(steps.alpha.flip(0), steps.sigma.flip(0))
    with pytest.raises(DifflabError, match=r"vlb\.variance=lower"):
        Bound(denoise, steps, "lower", 0.5)
    with pytest.raises(DifflabError, match=r"net\.learn_variance=true"):
        Bound(denoise, steps, "learned", 0.5)
    assert variance_of(denoise, "auto") == "upper"
