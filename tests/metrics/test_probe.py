"""The linear probe against brute force and against the best that any classifier can do."""

import math

import pytest
import torch

from difflab.errors import DifflabError
from difflab.metrics.probe import PENALTIES, fit


def blobs(n: int, distance: float, seed: int = 0, d: int = 6, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit Gaussians around points on the axes, `distance` from each other."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    centres = torch.eye(classes, d) * distance / math.sqrt(2)
    return centres[labels] + torch.randn(n, d, generator=g), labels


def ridge(x, labels, classes, penalty, scale):
    """By the normal equations, an unpenalised column of ones among the features."""
    ones = torch.ones(len(x), 1, dtype=torch.float64)
    a = torch.cat([x.double() * scale, ones], 1)
    free = penalty * torch.eye(a.shape[1], dtype=torch.float64)
    free[-1, -1] = 0
    return torch.linalg.solve(a.T @ a + free, a.T @ torch.nn.functional.one_hot(labels, classes).double())


@pytest.mark.parametrize("n", [12, 60], ids=["less than features", "more"])
def test_left_out_is_what_leaving_out_gives(n):
    x, labels = blobs(n, 1.5, d=20)
    scale = 1 / x.double().std(0)
    right = torch.zeros(len(PENALTIES))
    for i in range(n):
        others = torch.arange(n) != i
        row = torch.cat([x[i].double() * scale, torch.ones(1, dtype=torch.float64)])
        for p, penalty in enumerate(PENALTIES):
            right[p] += (row @ ridge(x[others], labels[others], 3, penalty, scale)).argmax() == labels[i]
    probe = fit(x, labels, 3)
    best = PENALTIES.tolist().index(probe.penalty)
    assert probe.left_out == right[best].item() / n == right.max().item() / n


def test_weights_are_those_of_the_normal_equations():
    x, labels = blobs(60, 1.5)
    probe, scale = fit(x, labels, 3), 1 / x.double().std(0)
    expected = ridge(x, labels, 3, probe.penalty, scale)
    torch.testing.assert_close(probe.weight, scale[:, None] * expected[:-1])
    torch.testing.assert_close(probe.bias, expected[-1])


def test_two_gaussians_are_told_apart_as_well_as_can_be():
    """Of two unit Gaussians at a distance of 2 the best classifier recognises Phi(1) = 84.1 %."""
    probe = fit(*blobs(20_000, 2.0, classes=2), 2)
    x, labels = blobs(20_000, 2.0, seed=1, classes=2)
    share = (probe(x) == labels).double().mean().item()
    assert share == pytest.approx(0.5 * (1 + math.erf(1 / math.sqrt(2))), abs=4 * 0.0026)
    assert probe.left_out == pytest.approx(share, abs=4 * 0.0037)


def test_what_the_features_do_not_tell_is_guessed():
    x, labels = blobs(3000, 0.0)
    probe = fit(x, labels, 3)
    assert probe.left_out == pytest.approx(1 / 3, abs=0.04)
    assert (probe(blobs(3000, 0.0, seed=1)[0]) == labels).double().mean().item() == pytest.approx(1 / 3, abs=0.04)


def test_scale_and_place_of_features_make_no_difference():
    x, labels = blobs(90, 1.0)
    moved = x * torch.tensor([1.0, 10.0, 0.1, 100.0, 1.0, 1.0]) + 3
    assert torch.equal(fit(x, labels, 3)(x), fit(moved, labels, 3)(moved))


def test_a_feature_that_is_always_the_same_says_nothing():
    x, labels = blobs(90, 3.0)
    probe = fit(torch.cat([x, torch.full((90, 1), 7.0)], 1), labels, 3)
    assert probe.weight[-1].abs().max() == 0
    torch.testing.assert_close(probe.weight[:-1], fit(x, labels, 3).weight)


def test_more_rows_than_fit_at_once(monkeypatch):
    x, labels = blobs(100, 1.0)
    whole = fit(x, labels, 3)
    monkeypatch.setattr("difflab.metrics.probe.ROWS", 7)
    assert fit(x, labels, 3).left_out == whole.left_out


@pytest.mark.parametrize("labels", [[0, 0, 1, 1], [0, 0, 3, 1], [0, 1, 3, 2]])
def test_classes_without_pictures_are_refused(labels):
    with pytest.raises(DifflabError, match="a probe of 3 classes needs pictures of each: here are"):
        fit(torch.randn(4, 2), torch.tensor(labels), 3)
