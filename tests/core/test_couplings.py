"""Minibatch optimal transport: the best order of all, and the same noise."""

from itertools import permutations

import torch

from difflab.couplings import Independent, MinibatchOT
from difflab.rng import generator


def cost(x0: torch.Tensor, eps: torch.Tensor) -> float:
    return (x0 - eps).square().sum().item()


def test_order_is_the_best_of_all() -> None:
    x0, eps = torch.randn(2, 6, 1, 2, 2, generator=generator(0))
    matched = MinibatchOT()(x0, eps)
    best = min(cost(x0, eps[list(order)]) for order in permutations(range(6)))
    assert abs(cost(x0, matched) - best) < 1e-4
    assert cost(x0, matched) < cost(x0, eps)


def test_noise_is_only_reordered() -> None:
    x0, eps = torch.randn(2, 32, 1, 2, 2, generator=generator(1))
    matched = MinibatchOT()(x0, eps)
    assert sorted(matched[:, 0, 0, 0].tolist()) == sorted(eps[:, 0, 0, 0].tolist())
    assert torch.equal(Independent()(x0, eps), eps)


def test_classes_compete_for_the_noise() -> None:
    """Why a network that reads labels must not be trained with it: a class's noise has another mean."""
    labels = torch.arange(256) % 2
    x0 = (2.0 * labels - 1).reshape(-1, 1, 1, 1)
    matched = MinibatchOT()(x0, torch.randn(256, 1, 1, 1, generator=generator(2)))
    assert MinibatchOT.mixes_classes
    assert not Independent.mixes_classes
    assert matched[labels == 1].mean() > 0.6 > -0.6 > matched[labels == 0].mean()
