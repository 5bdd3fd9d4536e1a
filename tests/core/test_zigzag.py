"""Grids that go up: the published levels and trajectories, and the right distribution in the end."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import diffusers
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from difflab.config.compose import compose
from difflab.config.instantiate import build
from difflab.errors import DifflabError
from difflab.files import conf_dir
from difflab.generation import Generation
from difflab.grids import Grid, Karras, Nodes, Stride, UniformT, ramp
from difflab.oracles import Mixture, gaussian
from difflab.rng import generator
from difflab.samplers import Noise, Sampler, ddim, diffuse, heun, last, run
from difflab.schedules import VE, Cosine, Rectified, Schedule
from difflab.tables import Tabulated, linear_betas
from difflab.zigzag import Churn, Restart, TimeTravel

MEAN, STD = 0.4, 0.7
ORACLE = gaussian(torch.full((1, 2, 2), MEAN, dtype=torch.float64), STD)
WIDE = partial(Karras, sigma_min=1e-3, sigma_max=1e4)
START = MEAN * STD / 1e4  # what a start in pure noise, without alpha * mean, takes from the mean in the end
TABLE = Tabulated(linear_betas(1e-4, 0.02, 1000))
ZIGZAGS: dict[str, Callable[[int], Grid]] = {
    "churn": lambda n: Churn(n, WIDE, churn=20.0),
    "time_travel": lambda n: TimeTravel(n, WIDE, jump_length=n // 10, jump_n_sample=3),
    "restart": lambda n: Restart(n, WIDE, 0.06, 3.0, repeats=3, inner_steps=n // 2),
}


def draws(seed: int) -> Noise:
    g = generator(seed)
    return lambda like: torch.randn(like.shape, generator=g, dtype=like.dtype)


def law(sampler: Sampler, nodes: Nodes) -> tuple[float, float]:
    """Mean and deviation of the samples of Gaussian data, to the last digit and from no sample.

    A sampler is linear in its draws then: its answers to none and to each draw alone say everything.
    """
    n = len(nodes.descents())  # a draw at the start, and one for each way up
    alone = iter(torch.eye(n + 1, dtype=torch.float64)[1:, :, None, None, None])
    like = torch.zeros(n + 1, 1, 2, 2, dtype=torch.float64)
    x = last(run(sampler, ORACLE, nodes, lambda x: next(alone).expand_as(x), like))[:, 0, 0, 0]
    return x[0].item(), (x[1:] - x[0]).square().sum().sqrt().item()


@pytest.mark.parametrize(
    ("sampler", "order", "schedule"), [(ddim, 1, Rectified()), (heun, 2, Cosine())], ids=["ddim", "heun"]
)
@pytest.mark.parametrize("name", ZIGZAGS)
def test_the_law_becomes_the_data_s_at_the_order_of_the_sampler(
    name: str, sampler: Sampler, order: int, schedule: Schedule
) -> None:
    steps = [40, 80, 160, 320]
    laws = [law(sampler, ZIGZAGS[name](n).nodes(schedule)) for n in steps]
    assert all(mean == pytest.approx(MEAN, abs=START) for mean, _ in laws)
    log_steps, log_errors = (torch.tensor(v).double().log() for v in (steps, [abs(std - STD) for _, std in laws]))
    centred = log_steps - log_steps.mean()
    slope = (centred * log_errors).sum() / (centred**2).sum()
    assert -slope.item() == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize(("sampler", "n", "bias"), [(ddim, 300, 0.03), (heun, 120, 0.01)], ids=["ddim", "heun"])
@pytest.mark.parametrize("name", ZIGZAGS)
def test_samples_of_two_lumps_have_their_mean_deviation_and_shares(
    name: str, sampler: Sampler, n: int, bias: float
) -> None:
    """10,000 samples within four deviations; `bias` is the law's of the test above at this n, rounded up."""
    low, high = 0.3, 0.7  # shares of the lumps N(-1, 0.3) and N(1, 0.5)
    lumps = Mixture(*(torch.tensor(v).double() for v in ([[-1.0], [1.0]], [0.3, 0.5], [low, high])))
    std = math.sqrt(low * (1 + 0.09) + high * (1 + 0.25) - 0.4**2)
    positive = low * math.erfc(1 / 0.3 / math.sqrt(2)) / 2 + high * math.erfc(-1 / 0.5 / math.sqrt(2)) / 2
    nodes = ZIGZAGS[name](n).nodes(Cosine())
    x = last(run(sampler, lumps, nodes, draws(0), torch.zeros(10_000, 1).double()))
    assert x.mean().item() == pytest.approx(0.4, abs=4 * std / 100)
    # The deviation of a deviation is at most a normal's, since two lumps have thinner tails.
    assert x.std().item() == pytest.approx(std, abs=4 * std / math.sqrt(2e4) + bias)
    assert (x > 0).double().mean().item() == pytest.approx(positive, abs=4 * math.sqrt(positive * (1 - positive)) / 100)


@pytest.mark.parametrize("schedule", [Cosine(), VE()], ids=lambda s: s.name)
def test_a_trip_up_and_down_in_tiny_steps_leaves_the_marginal_as_it_is(schedule: Schedule) -> None:
    nodes = Restart(18, Karras, 0.06, 3.0, repeats=1, inner_steps=1000).nodes(schedule)
    before, after = nodes.descents()
    trip = Nodes(after.alpha[:1001], after.sigma[:1001])
    assert (trip.alpha[-1], trip.sigma[-1]) == (before.alpha[-1], before.sigma[-1])
    alpha, sigma = trip.alpha[-1], trip.sigma[-1]
    # No draw; the marginal's own deviation; one draw of the way up: linear, so these say what becomes of all.
    own, drawn = torch.eye(3).double()[1:, :, None, None, None].expand(2, 3, 1, 2, 2)
    scale = (alpha**2 * STD**2 + sigma**2).sqrt()
    up = diffuse(alpha * MEAN + scale * own, alpha, sigma, trip.alpha[0], trip.sigma[0], lambda like: drawn)
    x = last(heun(ORACLE, up, trip, draws(0)))[:, 0, 0, 0]
    assert x[0].item() == pytest.approx(alpha.item() * MEAN, abs=1e-12)
    # Second order: 1000 steps of heun leave 3e-6.
    assert (x[1:] - x[0]).square().sum().sqrt().item() == pytest.approx(scale.item(), rel=1e-5)


def test_one_step_up_is_as_good_as_many() -> None:
    nodes = TimeTravel(20, UniformT, jump_length=5, jump_n_sample=2).nodes(Cosine())
    i = int((nodes.sigma_hat.diff() > 0).nonzero()[0])
    alpha, sigma = Cosine().alpha_sigma(
        torch.linspace(*(Cosine().t_of_logsnr(-2 * nodes.sigma_hat[[i, i + 1]].log())), 9)
    )
    many = (torch.cat([n[: i + 1], new[1:-1], n[i + 1 :]]) for n, new in ((nodes.alpha, alpha), (nodes.sigma, sigma)))
    assert law(heun, Nodes(*many)) == pytest.approx(law(heun, nodes), rel=1e-12)


def algorithm_2(x: Tensor, t: Tensor, churn: float, low: float, high: float, noise: Noise) -> Tensor:
    """EDM (2206.00364) algorithm 2 with S_noise = 1, written down from the paper."""
    n, one = len(t) - 1, torch.tensor(1.0).double()
    for i in range(n):
        gamma = min(churn / n, math.sqrt(2) - 1) if low <= t[i] <= high else 0
        t_hat = t[i] + gamma * t[i]
        if gamma > 0:
            x = x + (t_hat**2 - t[i] ** 2).sqrt() * noise(x)
        d = (x - ORACLE(x, one, t_hat)) / t_hat
        x_next = x + (t[i + 1] - t_hat) * d
        if t[i + 1] != 0:
            d_ = (x_next - ORACLE(x_next, one, t[i + 1])) / t[i + 1]
            x_next = x + (t[i + 1] - t_hat) * (d + d_) / 2
        x = x_next
    return x


@pytest.mark.parametrize("churn", [0.0, 3.0, 40.0])  # gamma = 0, 1/6 and its upper bound
def test_churn_with_heun_is_algorithm_2(churn: float) -> None:
    start = torch.zeros(4, 1, 2, 2, dtype=torch.float64)
    ours = last(run(heun, ORACLE, Churn(18, Karras, churn, 0.05, 50.0).nodes(VE()), draws(0), start))
    noise, t = draws(0), torch.cat([ramp(80.0, 0.002, 18, 7.0), torch.zeros(1).double()])
    theirs = algorithm_2(80 * noise(start), t, churn, 0.05, 50.0, noise)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("churn", [3.0, 40.0])
def test_churn_with_euler_is_the_one_of_diffusers(churn: float) -> None:
    start, one = torch.zeros(4, 1, 2, 2, dtype=torch.float64), torch.tensor(1.0).double()
    ours = last(run(ddim, ORACLE, Churn(18, Karras, churn, 0.05, 50.0).nodes(VE()), draws(0), start))
    theirs = diffusers.EulerDiscreteScheduler(prediction_type="sample")
    theirs.set_timesteps(18)
    theirs.sigmas, theirs.is_scale_input_called = Karras(18).nodes(VE()).sigma, True
    g = generator(0)
    x = 80 * torch.randn(start.shape, generator=g, dtype=start.dtype)
    for i, t in enumerate(theirs.timesteps):
        sigma = theirs.sigmas[i]
        gamma = min(churn / 18, math.sqrt(2) - 1) if 0.05 <= sigma <= 50 else 0.0
        # They ask for the guess before they add the noise: we hand them the one after, by the noise that comes next.
        state = g.get_state()
        up = x + sigma * math.sqrt((1 + gamma) ** 2 - 1) * torch.randn(x.shape, generator=g, dtype=x.dtype)
        g.set_state(state)
        x0 = ORACLE(up, one, (1 + gamma) * sigma)
        x = theirs.step(x0, t, x, s_churn=churn, s_tmin=0.05, s_tmax=50.0, generator=g).prev_sample
    # Their step casts the state to float32.
    torch.testing.assert_close(ours, x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("steps", "length", "n_sample"), [(250, 10, 10), (20, 2, 3), (25, 7, 2), (10, 1, 4), (8, 3, 1)]
)
def test_time_travel_visits_the_timesteps_of_diffusers(steps: int, length: int, n_sample: int) -> None:
    theirs = diffusers.RePaintScheduler()
    theirs.set_timesteps(steps, length, n_sample)
    t = theirs.timesteps
    inside = (t[1:-1] > t[:-2]) & (t[2:] > t[1:-1])  # half-way up, where we do not stop
    t = torch.cat([t[:1], t[1:-1][~inside], t[-1:]])
    nodes = TimeTravel(steps, Stride, length, n_sample).nodes(TABLE)
    i = TABLE.t_of_logsnr(-2 * nodes.sigma_hat[:-1].log()) * 1000 - 1
    torch.testing.assert_close(i, t.double(), rtol=0, atol=1e-6)


def test_restart_visits_its_range_again_from_the_level_nearest_to_its_end() -> None:
    nodes = Restart(5, partial(Karras, sigma_min=0.1, rho=1.0), 21.0, 60.0, repeats=2, inner_steps=2).nodes(VE())
    middle = ((60 ** (1 / 7) + 20.075 ** (1 / 7)) / 2) ** 7
    down = [60, middle, 20.075]
    assert nodes.sigma_hat.tolist() == pytest.approx([80, 60.025, 40.05, 20.075, *down, *down, 0.1, 0])


def test_restart_costs_the_evaluations_of_its_paper() -> None:
    nodes = build(compose("train", ["grid=restart"]).grid).nodes(VE())
    assert Generation(heun, nodes, (1, 4, 4), {}).nfe() == 43


def test_restarts_in_several_ranges_are_one_in_another() -> None:
    errors = []
    for n in (80, 160):
        inner = partial(Restart, base=WIDE, sigma_hat_min=1.0, sigma_hat_max=5.0, repeats=1, inner_steps=n)
        nodes = Restart(n, inner, 0.06, 0.3, repeats=2, inner_steps=n).nodes(Cosine())
        assert len(nodes.descents()) == 4
        errors.append(law(heun, nodes)[1] - STD)
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)  # second order


@pytest.mark.parametrize("t_max", [1.0, 0.9])
def test_no_way_up_leads_beyond_t_max(t_max: float) -> None:
    schedule = Cosine(t_max=t_max)
    nodes = Churn(10, UniformT, churn=100.0).nodes(schedule)
    alpha, sigma = schedule.alpha_sigma(torch.tensor([t_max, 0.9 * t_max], dtype=torch.float64))
    assert (nodes.sigma_hat <= sigma[0] / alpha[0] * (1 + 1e-12)).all()
    # None from the noisiest level, one from each of the nine others; from 0.81 it would pass 0.9 and stops there.
    assert len(nodes) == 19
    top = min((sigma / alpha)[1] * math.sqrt(2), (sigma / alpha)[0])
    torch.testing.assert_close(nodes.sigma_hat[2], top, rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("name", "numbers", "words"),
    [
        ("time_travel", {"steps": 2}, "grid.jump_length=2 is no shorter than the way down of grid.steps=2"),
        ("restart", {"steps": 1}, "grid.sigma_hat_max=0.3 is not above sigma_hat=80, the level nearest to"),
        ("restart", {"sigma_hat_min": 0.5}, "grid.sigma_hat_min=0.5 and grid.sigma_hat_max=0.3 are no range"),
        ("restart", {"sigma_hat_max": math.inf}, "grid.sigma_hat_max=inf: a restart goes up to a finite level"),
        ("churn", {"steps": 0}, "grid.steps=0: a sampler needs at least 1 step"),
        ("churn", {"base": {"sigma_min": 100.0}}, "do not fall on schedule 'cosine'"),
    ],
)
def test_what_makes_no_zigzag_is_refused(name: str, numbers: dict[str, Any], words: str) -> None:
    node = OmegaConf.merge(OmegaConf.load(conf_dir() / "grid" / f"{name}.yaml"), numbers)
    with pytest.raises(DifflabError) as error:
        build(node).nodes(Cosine())
    assert words in str(error.value)


@pytest.mark.parametrize(
    "make",
    [lambda: Churn(9, Karras, -1.0), lambda: TimeTravel(9, Karras, 0), lambda: Restart(9, Karras, 0.1, 1.0, 0, 2)],
)
def test_numbers_out_of_bounds_are_refused_at_construction(make: Callable[[], Grid]) -> None:
    with pytest.raises(DifflabError, match=r"grid\.(churn=-1|jump_length=0|repeats=0)"):
        make()


def test_steps_of_a_saved_run_s_grid_can_be_changed() -> None:
    """A run keeps its configuration resolved, and `difflab sample grid.steps=` changes one number of it."""
    saved = OmegaConf.create(OmegaConf.to_yaml(compose("train", ["grid=churn"]).grid, resolve=True))
    saved.steps = 9
    fresh = compose("train", ["grid=churn", "grid.steps=9"]).grid
    assert torch.equal(build(saved).nodes(VE()).sigma, build(fresh).nodes(VE()).sigma)
