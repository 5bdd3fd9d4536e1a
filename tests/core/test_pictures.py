"""The numbers that `difflab explain` draws, against closed forms and a second implementation."""

import math

import pytest
import torch
from scipy import stats

from difflab import weightings
from difflab.errors import DifflabError
from difflab.generation import Generation
from difflab.grids import UniformT
from difflab.oracles import empirical
from difflab.pictures import against, album, forward, guesses, moments, reverse, schedule, weight
from difflab.pictures.by_heart import by_heart
from difflab.pictures.canvas import scaling_note, shown
from difflab.pictures.chain import chain, guess_of_noise, jump
from difflab.pictures.levels import Ladder
from difflab.pictures.moments import Both
from difflab.pictures.subject import Subject
from difflab.predictions import Eps, Flow, V
from difflab.rng import SampleNoise
from difflab.samplers import ddpm
from difflab.schedules import VE, Cosine, LinearVP, Rectified, Schedule
from difflab.tables import Tabulated, linear_betas
from difflab.times import Lognormal, Nodes, Uniform

DDPM = Tabulated(linear_betas(1e-4, 0.02, 1000))
SCHEDULES = [Cosine(), LinearVP(), Rectified(), VE(), DDPM, Cosine(t_max=0.9)]
ids = repr


def pictures(m: int, shape: tuple[int, ...] = (1, 8, 8)) -> torch.Tensor:
    return torch.rand(m, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def subject(path: Schedule = Cosine(), m: int = 16, n: int = 2, steps: int = 1000, **changes: object) -> Subject:  # noqa: B008
    known = pictures(m)
    generation = Generation(ddpm, UniformT(10).nodes(path), (1, 8, 8), {})
    parts = {
        "ladder": Ladder(path, steps), "x0": known, "n": n, "at": [steps // 4, steps // 2], "frames": 5, "seed": 0,
        "denoise": by_heart(known), "prediction": V(), "generation": generation, "weighting": weightings.SnrPlus(),
        "others": {"snr": weightings.Snr()}, "times": Uniform(),
        "names": dict.fromkeys(("schedule", "prediction", "weighting", "times", "sampler", "denoiser", "x0"), "some"),
    }  # fmt: skip
    return Subject(**(parts | changes))


def test_step_497_of_1000_is_t_0497() -> None:
    level = Ladder(Cosine()).level(497)
    assert level.t == 0.497
    assert level.alpha.item() == pytest.approx(math.cos(0.497 * math.pi / 2), rel=1e-15)
    assert level.sigma.item() == pytest.approx(math.sin(0.497 * math.pi / 2), rel=1e-15)
    assert level.logsnr == pytest.approx(-2 * math.log(math.tan(0.497 * math.pi / 2)), rel=1e-12)


def test_step_i_of_a_table_is_its_level_i() -> None:
    kept = torch.cumprod(1 - linear_betas(1e-4, 0.02, 1000), 0)
    for step in (1, 497, 1000):
        torch.testing.assert_close(Ladder(DDPM).level(step).alpha ** 2, kept[step - 1], rtol=1e-12, atol=0)


def test_step_0_is_the_picture_on_every_schedule() -> None:
    for path in SCHEDULES:
        first = Ladder(path).level(0)
        assert (first.alpha, first.sigma, first.logsnr) == (1, 0, math.inf)


def test_the_ladder_ends_where_training_ends() -> None:
    ladder = Ladder(Cosine(t_max=0.9))
    assert ladder.last == 900
    assert ladder.spread(4) == [0, 300, 600, 900]
    ladder.check([1, 900])
    with pytest.raises(DifflabError, match="steps 1 to 900 of 1000"):
        ladder.check([901])
    with pytest.raises(DifflabError, match="steps 3 to 10 of 10"):
        Ladder(Cosine(t_min=0.25), 10).check([2])


@pytest.mark.parametrize("path", SCHEDULES, ids=ids)
def test_chain_without_noise_leaves_alpha_of_the_picture(path: Schedule) -> None:
    """To rounding: a thousand products of neighbouring quotients in float64."""
    x0 = pictures(2).double()
    for level, x in chain(Ladder(path), x0, torch.zeros_like):
        torch.testing.assert_close(x, level.alpha * x0, rtol=1e-11, atol=1e-16)


@pytest.mark.parametrize("path", SCHEDULES, ids=ids)
def test_variances_of_the_chains_small_steps_add_up_to_sigma_squared(path: Schedule) -> None:
    """The state is linear in the noises, so its variance is exact: each step's noise alone, one coordinate a step."""
    ladder = Ladder(path, 50)
    drawn = iter(torch.eye(50, dtype=torch.float64))
    for level, x in chain(ladder, torch.zeros(1, 50, dtype=torch.float64), lambda like: next(drawn)[None]):
        torch.testing.assert_close(x.square().sum(), level.sigma**2, rtol=1e-10, atol=0)


@pytest.mark.parametrize("path", [Cosine(), Rectified(), VE(), DDPM], ids=ids)
def test_markov_chain_and_jump_have_the_moments_of_the_closed_form(path: Schedule) -> None:
    """Within 5 standard errors: 84 moments of a normal are farther with probability 84 * 6e-7 at most."""
    levels = [b.level.numbers() | moments.moments(b, pictures(16)) for b in moments.both_ways(subject(path))]
    assert {20 * 50, 250, 500} <= {level["step"] for level in levels}
    assert moments.farthest(levels) < 5
    wrong = [level | {"chain_var": level["chain_var"] + 10 * level["var_error"]} for level in levels]
    assert moments.farthest(wrong) > 5


def test_standard_errors_are_those_of_repeated_draws() -> None:
    """The spread of 400 draws is known to 1/sqrt(800) = 3.5 %, so 15 % is four of its standard errors."""
    level, x0 = Ladder(Cosine()).level(300), pictures(4).double()
    g = torch.Generator().manual_seed(1)
    found = []
    for _ in range(400):
        x = jump(x0, torch.randn(x0.shape, generator=g, dtype=torch.float64), level)
        found.append(moments.moments(Both(level, x, x), x0))
    for key in ("mean", "var"):
        draws = torch.tensor([f[f"chain_{key}"] for f in found])
        assert draws.std().item() == pytest.approx(found[0][f"{key}_error"], rel=0.15)
        error_of_mean = found[0][f"{key}_error"] / math.sqrt(400)
        assert abs(draws.mean().item() - found[0][f"closed_{key}"]) < 5 * error_of_mean


@pytest.mark.parametrize("path", [Cosine(), Rectified(), VE()], ids=ids)
def test_noise_in_the_chains_states_is_standard_normal(path: Schedule) -> None:
    """By scipy's Kolmogorov-Smirnov test; a p below 1e-4 comes once in 10,000 seeds."""
    x0 = pictures(64)
    *_, (level, x) = ((level, x) for level, x in chain(Ladder(path, 100), x0, SampleNoise(0, range(64))))
    eps = guess_of_noise(x, x0, level.alpha, level.sigma)
    assert stats.kstest(eps.flatten().numpy(), "norm").pvalue > 1e-4
    drawn = moments.histogram(x, x0, level)
    assert (drawn * moments.BINS.diff()).sum().item() == pytest.approx(1, abs=5e-4)  # 6e-5 lie beyond 4 deviations


def test_exact_denoiser_row_by_row_is_the_oracle() -> None:
    known, x = pictures(5), pictures(3) * 2
    alpha, sigma = (torch.tensor(a, dtype=torch.float64) for a in (0.6, 0.8))
    torch.testing.assert_close(by_heart(known)(x, alpha, sigma), empirical(known)(x, alpha, sigma))
    each = torch.tensor([0.2, 0.6, 0.9]).reshape(3, 1, 1, 1)
    torch.testing.assert_close(by_heart(known)(x, each, 1 - each), empirical(known)(x, each, 1 - each))


def test_who_knows_one_picture_guesses_picture_and_noise_exactly() -> None:
    """The guess of the noise is a difference over sigma in float32, hence the bound."""
    s = subject(m=1, n=1)
    eps = s.noise("guesses", 1)(s.x0)
    for step in (50, 497, 950):
        made = guesses.guess(s, s.ladder.level(step), eps)
        torch.testing.assert_close(made.x0_hat, s.x0)
        torch.testing.assert_close(made.eps_hat, eps, rtol=0, atol=1e-5)


def test_errors_of_noise_and_picture_differ_by_the_signal_to_noise() -> None:
    """eps_hat - eps = -(alpha/sigma) (x0_hat - x0) at fixed x_t; who says 0 has the pictures' mean square as error."""
    s = subject(m=8, denoise=lambda x, alpha, sigma: torch.zeros_like(x))
    found = guesses.draw(s).numbers["levels"]
    for level in found:
        assert level["x0_mse"] == pytest.approx(s.x0.double().square().mean().item(), rel=1e-6)
        assert level["eps_mse"] == pytest.approx(math.exp(level["logsnr"]) * level["x0_mse"], rel=1e-4)
        each = s.x0.double().square().flatten(1).mean(1)
        assert level["x0_mse_error"] == pytest.approx(stats.sem(each.numpy()), rel=1e-6)


@pytest.mark.parametrize("path", SCHEDULES, ids=ids)
def test_drawn_curves_are_the_schedules(path: Schedule) -> None:
    curves = {name: torch.tensor(c, dtype=torch.float64) for name, c in schedule.curves_of(subject(path)).items()}
    assert (curves["t"][0], curves["t"][-1]) == (path.t_min, path.t_max)
    alpha, sigma = path.alpha_sigma(curves["t"])
    assert torch.equal(curves["alpha"], alpha)
    assert torch.equal(curves["sigma"], sigma)
    inner = slice(1, -1)
    torch.testing.assert_close(curves["logsnr"][inner], (2 * (alpha / sigma).log())[inner], rtol=1e-9, atol=1e-9)
    between = curves["logsnr"].diff()[20:-20] / curves["t"].diff()[20:-20]
    slopes = (curves["dlogsnr"][1:] + curves["dlogsnr"][:-1])[20:-20] / 2
    torch.testing.assert_close(between, slopes, rtol=2e-2, atol=0)  # the trapezoid's error, h^2/12 of the curvature


def test_density_of_uniform_times_on_the_cosine_path_is_a_hyperbolic_secant() -> None:
    """Since logsnr = -2 log tan(pi t / 2). The cells err by their width squared."""
    logsnr, density = weight.density(Uniform(), Cosine())
    torch.testing.assert_close(density, 1 / (2 * math.pi * (logsnr / 2).cosh()), rtol=5e-4, atol=0)


@pytest.mark.parametrize("path", [Cosine(), Rectified(), VE(), LinearVP(), Cosine(t_max=0.9)], ids=ids)
def test_density_of_uniform_times_is_one_over_the_schedules_slope(path: Schedule) -> None:
    logsnr, density = weight.density(Uniform(), path)
    expected = -1 / path.dlogsnr(path.t_of_logsnr(logsnr)) / (path.t_max - path.t_min)
    torch.testing.assert_close(density, expected, rtol=5e-4, atol=0)


@pytest.mark.parametrize("path", [Cosine(), VE()], ids=ids)
def test_density_of_lognormal_levels_is_normal_on_every_schedule(path: Schedule) -> None:
    logsnr, density = weight.density(Lognormal(-0.8, 1.4), path)
    normal = torch.from_numpy(stats.norm.pdf(logsnr.numpy(), 1.6, 2.8))
    inside = (logsnr < 12) & (logsnr > -8)  # draws beyond VE's ends are held there
    torch.testing.assert_close(density[inside], normal[inside], rtol=5e-4, atol=0)


def test_density_of_discrete_times_is_that_of_the_continuous_ones() -> None:
    """A thousand levels, each as likely: cells hold whole levels, so that there is no sawtooth."""
    logsnr, density = weight.density(Nodes(1000), Cosine())
    expected = 1 / (2 * math.pi * (logsnr / 2).cosh())
    torch.testing.assert_close(density[5:-5], expected[5:-5], rtol=5e-3, atol=0)  # 1/1000 of a level's place in t


def test_times_that_all_fall_on_one_level_are_refused() -> None:
    with pytest.raises(DifflabError, match="nearly all draws fall on one level"):
        weight.density(Lognormal(50.0, 0.1), VE())


@pytest.mark.parametrize("path", [LinearVP(), VE(), DDPM], ids=ids)
@pytest.mark.parametrize("w", [weightings.Constant(), weightings.MinSnr(), weightings.Snr()], ids=ids)
def test_effective_weight_integrates_to_the_mean_weight_of_a_draw(path: Schedule, w: weightings.Weighting) -> None:
    """Beside a quadrature over the times themselves, between the same ends; the cells err by their width squared."""
    logsnr, density = weight.density(Uniform(), path)
    area = -torch.trapezoid(weight.effective(w, logsnr, density), logsnr).item()
    first, last = path.t_of_logsnr(logsnr[[0, -1]]).tolist()
    t = torch.linspace(first, last, 1_000_001, dtype=torch.float64)
    mean = torch.trapezoid(w(path.logsnr(t)), t).item() / (path.t_max - path.t_min)
    assert area == pytest.approx(mean, rel=2e-3)
    assert 1 - 5e-4 < -torch.trapezoid(density, logsnr).item() < 1  # what the cells leave out at the ends


def test_effective_weight_of_lognormal_levels_has_a_closed_form() -> None:
    """The mean of min(e^l, gamma) of a normal l, by its partial moments."""
    logsnr, density = weight.density(Lognormal(-0.8, 1.4), Cosine())
    area = -torch.trapezoid(weight.effective(weightings.MinSnr(5.0), logsnr, density), logsnr).item()
    edge, mean, std = math.log(5.0), 1.6, 2.8
    below = math.exp(mean + std**2 / 2) * stats.norm.cdf((edge - mean) / std - std)
    assert area == pytest.approx(below + 5 * stats.norm.sf((edge - mean) / std), rel=1e-3)


@pytest.mark.parametrize(
    ("prediction", "w"),
    [(Eps(), weightings.Snr()), (V(0.6), weightings.SnrPlus(0.6)), (Flow(), weightings.Flow())],
    ids=ids,
)
def test_matching_weighting_leaves_the_density_of_times_on_the_output(
    prediction: object, w: weightings.Weighting
) -> None:
    """On paths where the pairs match: eps and v everywhere, flow where alpha + sigma = 1."""
    for path in [Rectified()] if isinstance(prediction, Flow) else [Rectified(), Cosine(), VE()]:
        page = weight.draw(subject(path, prediction=prediction, weighting=w)).numbers
        density, on_y = (torch.tensor(c, dtype=torch.float64) for c in (page["density"], page["chosen"]["on_y"]))
        torch.testing.assert_close(on_y, density, rtol=1e-8, atol=0)


def test_reverse_chain_is_the_one_of_generation_with_levels_of_its_nodes() -> None:
    s = subject()
    kept = reverse._walk(s, set(range(11)))
    steps = list(s.generation.steps(s.denoise, s.seed, range(2)))
    assert len(kept) == 11
    for i, step in enumerate(steps):
        assert torch.equal(kept[i + 1].x, step.x)
        assert torch.equal(kept[i].x0_hat, step.x0)
        torch.testing.assert_close(kept[i].x0_hat, s.denoise(kept[i].x, kept[i].level.alpha, kept[i].level.sigma))
        assert kept[i].level.t == pytest.approx(1 - i / 10, abs=1e-12)
    assert (kept[10].level.t, kept[10].level.sigma) == (0, 0)


def test_who_learned_by_heart_makes_nothing_but_what_it_knows() -> None:
    """Its last guess is a softmax over the pictures, at the level of the last node before the clean one."""
    s = subject()
    made = reverse._walk(s, {10})[10].x
    assert torch.cdist(made.flatten(1), s.x0.flatten(1)).min(1).values.max() < 1e-3


def test_forward_states_of_a_picture_do_not_depend_on_how_many_are_shown() -> None:
    one, two = (forward._walk(subject(n=n), {0, 500}) for n in (1, 2))
    assert torch.equal(one[500][1][0], two[500][1][0])
    assert torch.equal(two[0][1], pictures(16)[:2])


def test_states_are_shown_in_the_range_of_pictures() -> None:
    white, ve, cosine = torch.ones(1, 1, 64, 32), Ladder(VE()), Ladder(Cosine())
    assert shown(white, cosine.level(497)).shape == (1, 3, 128, 64)
    assert shown(80.0 * white, ve.level(1000)).min() == 255
    assert shown(80.0 * 0.0 * white, ve.level(1000)).unique().tolist() == [128]
    assert scaling_note([cosine.level(1)]) == ""
    assert "sqrt(alpha^2 + sigma^2)" in scaling_note([ve.level(500)])


def test_json_has_null_for_what_is_infinite() -> None:
    assert album.finite({"a": [1, math.inf, {"b": -math.inf}], "c": math.nan, "d": "x"}) == {
        "a": [1, None, {"b": None}], "c": None, "d": "x",
    }  # fmt: skip


def test_the_longest_word_of_a_legend_has_room() -> None:
    line = against.Line(
        "sampler=dpmpp_2m weights=mmmmmmmm", [against.Point(5.0, 1.0, 0.1), against.Point(9.0, 2.0, 0.1)]
    )
    page = against.page([against.Plot("fd_x", False, [line], [])], "nfe", "a", "b")
    assert (page[:, :, -8:] == 255).all()
