"""The density of training times is the declared one, on every path."""

import math

import pytest
import torch

from difflab.rng import generator
from difflab.schedules import VE, Cosine, LinearVP, Rectified, Schedule
from difflab.tables import Tabulated, linear_betas
from difflab.times import LogitNormal, Lognormal, Nodes, Uniform, UniformLogsnr

SCHEDULES = [Cosine(), LinearVP(), Rectified(), VE()]


def test_uniform_times_are_stratified() -> None:
    t = Uniform().draw(100, Cosine(t_min=1e-6), generator(0))
    assert (t * 100).long().bincount().tolist() == [1] * 100


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
def test_lognormal_levels_on_every_path(schedule: Schedule) -> None:
    t = Lognormal(-1.2, 1.2).draw(20_000, schedule, generator(0))
    log_sigma_hat = -schedule.logsnr(t) / 2
    assert log_sigma_hat.mean().item() == pytest.approx(-1.2, abs=0.01)
    assert log_sigma_hat.std().item() == pytest.approx(1.2, abs=0.01)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
def test_uniform_logsnr_is_even_between_the_ends_of_the_path(schedule: Schedule) -> None:
    logsnr = schedule.logsnr(UniformLogsnr(12.0).draw(10_000, schedule, generator(0)))
    high, low = schedule.logsnr(torch.tensor([schedule.t_min, schedule.t_max]).double()).clamp(-12, 12)
    even = high + (torch.arange(10_000).double() + 0.5) / 10_000 * (low - high)
    assert (logsnr - even).abs().max() <= 1.01 * (high - low) / 20_000


def test_logit_normal_is_that_of_stable_diffusion_3() -> None:
    """2403.03206 eq. 19, where time is that of the straight path."""
    t = LogitNormal(0.5, 0.8).draw(20_000, Rectified(), generator(0))
    logit = (t / (1 - t)).log()
    assert logit.mean().item() == pytest.approx(0.5, abs=0.01)
    assert logit.std().item() == pytest.approx(0.8, abs=0.01)
    edges = torch.tensor([0.2, 0.4, 0.6, 0.8]).double()
    below = torch.distributions.Normal(0.5, 0.8).cdf((edges / (1 - edges)).log())
    assert [(t < e).double().mean().item() for e in edges] == pytest.approx(below.tolist(), abs=1e-3)


def test_table_times_are_its_nodes() -> None:
    schedule = Tabulated(linear_betas(1e-4, 0.02, 1000))
    t = Nodes(1000).draw(1000, schedule, generator(0))
    assert sorted((t * 1000).round().long().tolist()) == list(range(1, 1001))
    assert t.min() >= schedule.t_min


def test_draws_differ_from_step_to_step() -> None:
    assert not torch.equal(*(Uniform().draw(8, Cosine(), generator(0, step)) for step in (0, 1)))


def test_density_that_does_not_learn_counts_every_time_as_it_falls() -> None:
    t = torch.tensor([0.1, 0.9]).double()
    assert Lognormal().importance(t, Cosine()).tolist() == [1, 1]
    assert math.isclose(Uniform().within(torch.tensor([1.0]).double(), Cosine(t_max=0.7)).item(), 0.7, rel_tol=1e-6)
