"""Importance-sampled times: the density follows the losses, the expected loss stays, the variance falls."""

import copy

import pytest
import torch
from torch import Tensor

from difflab.loss_aware import LossAware
from difflab.rng import generator
from difflab.schedules import Cosine, Rectified, Schedule

SCHEDULES = [Cosine(), Rectified(t_max=0.9)]


def times_of(u: int, times: LossAware, schedule: Schedule) -> Tensor:
    return times.within((torch.arange(u, dtype=torch.float64) + 0.5) / u, schedule)


def taught(schedule: Schedule, levels: int = 20) -> LossAware:
    """Has seen the loss 1 + 9 t everywhere, more often than it remembers."""
    times = LossAware(levels=levels, history=4, uniform=0.01)
    for step in range(8):
        t = schedule.t_min + (torch.arange(levels).double() + (step + 0.5) / 8) / levels * (
            schedule.t_max - schedule.t_min
        )
        times.observe(t, (1 + 9 * t).float(), schedule)
    return times


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
def test_young_history_draws_uniformly(schedule: Schedule) -> None:
    times = LossAware(levels=20, history=4)
    times.observe(torch.full((100,), 0.5).double(), torch.full((100,), 7.0), schedule)
    t = times_of(1000, times, schedule)
    even = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    torch.testing.assert_close(t, schedule.t_min + even * (schedule.t_max - schedule.t_min))
    assert torch.equal(times.importance(t, schedule), torch.ones_like(t))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
def test_draws_follow_the_root_mean_square_of_the_last_losses(schedule: Schedule) -> None:
    times = taught(schedule)
    t = times_of(100_000, times, schedule)
    share = (t - schedule.t_min) / (schedule.t_max - schedule.t_min)
    drawn = (share * 20).long().clamp(max=19).bincount(minlength=20) / 100_000
    last = torch.stack([
        (1 + 9 * (schedule.t_min + (torch.arange(20) + (s + 0.5) / 8) / 20 * (schedule.t_max - schedule.t_min))) ** 2
        for s in range(4, 8)
    ])  # fmt: skip
    rms = last.mean(0).sqrt()
    torch.testing.assert_close(drawn, (0.99 * rms / rms.sum() + 0.01 / 20).float(), rtol=1e-3, atol=0)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
def test_expected_loss_is_that_of_uniform_times_and_its_variance_is_lower(schedule: Schedule) -> None:
    times, loss = taught(schedule), lambda t: (1 + 9 * t) * (1 + 0.1 * (40 * t).sin())
    t = times_of(400_000, times, schedule)
    weighted = times.importance(t, schedule) * loss(t)
    even = loss(schedule.t_min + (torch.arange(400_000).double() + 0.5) / 400_000 * (schedule.t_max - schedule.t_min))
    assert weighted.mean().item() == pytest.approx(even.mean().item(), rel=1e-5)
    assert weighted.std() < even.std() / 4


def test_history_is_saved_and_restored() -> None:
    times, fresh = taught(Cosine()), LossAware(levels=20, history=4, uniform=0.01)
    fresh.load_state_dict(copy.deepcopy(times.state_dict()))
    assert torch.equal(fresh.draw(64, Cosine(), generator(0)), times.draw(64, Cosine(), generator(0)))
    assert not torch.equal(
        LossAware(levels=20, history=4).draw(64, Cosine(), generator(0)), times.draw(64, Cosine(), generator(0))
    )


def test_no_loss_anywhere_is_uniform() -> None:
    times = LossAware(levels=4, history=1)
    times.observe(torch.tensor([0.1, 0.4, 0.6, 0.9]).double(), torch.zeros(4), Cosine())
    assert times.probabilities().tolist() == [0.25] * 4
