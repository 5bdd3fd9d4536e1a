"""The half-life is a half-life, and the average can be put on and off."""

import pytest
import torch

from difflab.ema import Ema, decay, in_force


def test_half_of_the_average_is_new_after_a_half_life() -> None:
    p = torch.zeros(3)
    ema = Ema([p])
    p += 1
    for _ in range(10):
        ema.update([p], decay(100, 10**9, halflife=1000, rampup=None))
    assert ema.average[0][0].item() == pytest.approx(0.5, rel=1e-5)


def test_half_life_is_a_share_of_a_young_run() -> None:
    assert decay(64, 1000, 1e6, 0.05) == pytest.approx(0.5 ** (64 / 50))
    assert decay(64, 10**9, 1e6, 0.05) == pytest.approx(0.5 ** (64 / 1e6))


def test_swap_twice_is_nothing() -> None:
    p = torch.randn(4, requires_grad=True)
    live, ema = p.detach().clone(), Ema([torch.zeros(4)])
    ema.swap([p])
    assert torch.equal(p.detach(), torch.zeros(4))
    ema.swap([p])
    assert torch.equal(p.detach(), live)
    assert torch.equal(ema.average[0], torch.zeros(4))


def test_half_life_in_force_is_the_one_that_decays() -> None:
    assert in_force(1000, 1e6, 0.05) == 50
    assert in_force(10**9, 1e6, 0.05) == in_force(7, 1e6, None) == 1e6


def test_distance_is_of_all_weights_as_one_vector() -> None:
    average, live = [torch.tensor([1.0, 0.0]), torch.tensor([[4.0]])], [torch.tensor([0.0, 0.0]), torch.tensor([[5.0]])]
    assert Ema(average).distance(live) == pytest.approx(2**0.5 / 5, rel=1e-6)
    assert Ema(live).distance(live) == 0
