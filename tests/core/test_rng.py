"""Noise is a function of names, not of history."""

import torch

from difflab.rng import SampleNoise, fold, generator


def test_every_key_counts() -> None:
    seeds = {fold(0), fold(1), fold(0, "noise"), fold(0, "noise", 0), fold(0, "noise", 1), fold(0, 1, "noise")}
    assert len(seeds) == 6
    assert all(0 <= s < 2**63 for s in seeds)


def test_generator_is_the_same_again() -> None:
    a, b = (torch.randn(4, generator=generator(3, "x", 7)) for _ in range(2))
    assert torch.equal(a, b)


def test_row_depends_on_its_own_index_alone() -> None:
    alone = SampleNoise(0, [5])
    together = SampleNoise(0, [3, 5, 9])
    for _ in range(3):  # and on how often it was asked
        assert torch.equal(alone(torch.zeros(1, 2, 3))[0], together(torch.zeros(3, 2, 3))[1])


def test_global_randomness_is_left_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    SampleNoise(1, range(4))(torch.zeros(4, 2))
    assert torch.equal(torch.rand(1), expected)
