"""Densities of training times, and grids that start and end where they say."""

import math

import pytest
import torch

from difflab.errors import DifflabError
from difflab.grids import Karras, UniformLogsnr, UniformT
from difflab.rng import generator
from difflab.schedules import VE, Cosine, LinearVP, Rectified, Schedule, Tabulated, linear_betas
from difflab.times import Lognormal, Nodes, Uniform
from difflab.weightings import MinSnr, SnrPlus

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


def test_table_times_are_its_nodes() -> None:
    schedule = Tabulated(linear_betas(1e-4, 0.02, 1000))
    t = Nodes(1000).draw(1000, schedule, generator(0))
    assert sorted((t * 1000).round().long().tolist()) == list(range(1, 1001))
    assert t.min() >= schedule.t_min


def test_draws_differ_from_step_to_step() -> None:
    assert not torch.equal(*(Uniform().draw(8, Cosine(), generator(0, step)) for step in (0, 1)))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
def test_karras_grid_visits_karras_levels(schedule: Schedule) -> None:
    nodes = Karras(18).nodes(schedule)
    ramp = (80 ** (1 / 7) + torch.arange(18).double() / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    torch.testing.assert_close((nodes.sigma / nodes.alpha)[:-1], ramp, rtol=1e-6, atol=0)
    assert len(nodes) == 18
    assert (nodes.alpha[-1], nodes.sigma[-1]) == (1, 0)


def test_uniform_grids() -> None:
    nodes = UniformT(4).nodes(Rectified())
    assert nodes.sigma.tolist() == [1, 0.75, 0.5, 0.25, 0]
    nodes = UniformLogsnr(5, -8.0, 8.0).nodes(Cosine())
    logsnr = 2 * (nodes.alpha / nodes.sigma).log()[:-1]
    assert logsnr.tolist() == pytest.approx([-8, -4, 0, 4, 8])


@pytest.mark.parametrize("grid", [Karras(1), UniformT(1), UniformLogsnr(1)], ids=lambda g: type(g).__name__)
def test_one_step_is_a_grid(grid) -> None:  # type: ignore[no-untyped-def]
    assert len(grid.nodes(Cosine())) == 1


def test_no_step_is_refused() -> None:
    with pytest.raises(DifflabError, match=r"grid\.steps=0"):
        Karras(0)


def test_weightings_at_known_levels() -> None:
    logsnr = torch.tensor([-2.0, 0.0, 4.0]).double()
    assert MinSnr(5.0)(logsnr).tolist() == pytest.approx([math.exp(-2), 1, 5])
    # EDM's lambda(sigma) = (sigma^2 + d^2) / (sigma d)^2
    sigma, d = (-logsnr / 2).exp(), 0.5
    torch.testing.assert_close(SnrPlus(d)(logsnr), (sigma**2 + d**2) / (sigma * d) ** 2)
