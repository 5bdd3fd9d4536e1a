"""Figures against their definitions, written out, and against what is known in closed form."""

import math

import pytest
import torch

from difflab.errors import DifflabError
from difflab.metrics.cmmd import EmbeddingDistance
from difflab.metrics.density_coverage import DensityCoverage
from difflab.metrics.extractor import Reading
from difflab.metrics.fd_infinity import FrechetInfinity
from difflab.metrics.frechet import FrechetDistance
from difflab.metrics.inception_score import InceptionScore
from difflab.metrics.measure import LeftOut, Measure, Value
from difflab.metrics.precision_recall import PrecisionRecall
from difflab.metrics.reference import Reference

K = 3


def points(n: int, seed: int, d: int = 2, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


def values(measure: Measure, made: torch.Tensor, real: torch.Tensor) -> dict[str, Value]:
    return {v.name: v for v in measure(Reading(made), Reference.of(real), 0)}


def test_balls_are_counted_as_the_papers_define_them() -> None:
    x, y = points(30, 0, shift=0.7), points(25, 1)
    made, real = x.double().tolist(), y.double().tolist()

    def reach(side: list[list[float]], i: int) -> float:
        return sorted(math.dist(side[i], other) for j, other in enumerate(side) if j != i)[K - 1]

    in_real = [[math.dist(a, b) <= reach(real, j) for j, b in enumerate(real)] for a in made]
    in_made = [[math.dist(a, b) <= reach(made, i) for b in real] for i, a in enumerate(made)]
    found = values(PrecisionRecall(K), x, y) | values(DensityCoverage(K), x, y)
    expected = {
        "precision": sum(any(row) for row in in_real) / 30,
        "recall": sum(any(row) for row in zip(*in_made, strict=True)) / 25,
        "density": sum(map(sum, in_real)) / (K * 30),
        "coverage": sum(any(row) for row in zip(*in_real, strict=True)) / 25,
    }
    assert 0.2 < expected["recall"] < 1
    assert {name: v.value for name, v in found.items()} == pytest.approx(expected, rel=1e-12)


def test_the_same_pictures_fill_everything_and_far_ones_nothing() -> None:
    y = points(40, 0)
    for measure in (PrecisionRecall(K), DensityCoverage(K)):
        same, far = values(measure, y, y), values(measure, y + 100, y)
        assert all(v.value >= 1 for v in same.values())
        assert all(v.value == 0 for v in far.values())
    # Each real ball holds its own centre and K others.
    assert values(DensityCoverage(K), y, y)["density"].value == pytest.approx((K + 1) / K)


def test_more_neighbours_than_pictures_are_refused() -> None:
    with pytest.raises(DifflabError, match="nearest of 3 samples and 40 reference pictures"):
        values(PrecisionRecall(K), points(3, 0), points(40, 1))


def test_certain_and_varied_samples_score_the_number_of_classes() -> None:
    logits = 1e3 * torch.eye(7).repeat(100, 1)
    (v,) = InceptionScore(1)(Reading(points(700, 0), logits), Reference.of(points(9, 1)), 0)
    assert v.value == pytest.approx(7, rel=1e-9)
    (v,) = InceptionScore(1)(Reading(points(700, 0), logits[:1].expand(700, 7)), Reference.of(points(9, 1)), 0)
    assert v.value == pytest.approx(1, rel=1e-9)


def test_cmmd_is_its_definition_and_zero_on_itself() -> None:
    x, y = points(12, 0, 5, 0.5), points(9, 1, 5)
    a, b = (side.double() / side.double().norm(dim=1, keepdim=True) for side in (x, y))

    def mean(p: torch.Tensor, q: torch.Tensor) -> float:
        return sum(math.exp(-(math.dist(u, v) ** 2) / 200) for u in p.tolist() for v in q.tolist()) / len(p) / len(q)

    exact = 1000 * (mean(a, a) + mean(b, b) - 2 * mean(a, b))
    assert values(EmbeddingDistance(), x, y)["cmmd"].value == pytest.approx(exact, rel=1e-9)
    assert values(EmbeddingDistance(), x, x)["cmmd"].value == pytest.approx(0, abs=1e-9)


def test_cmmd_of_a_circle_and_a_point_has_a_closed_form() -> None:
    """Of directions all around, the mean of exp(cos / sigma^2) is Bessel's I0; lengths don't count."""
    angles = torch.arange(64) * (2 * math.pi / 64)
    circle = torch.stack([angles.cos(), angles.sin()], 1).double() * torch.linspace(0.5, 2, 64)[:, None]
    point = torch.tensor([[3.0, 0.0]]).double().repeat(5, 1)
    for sigma in (1, 0.5):
        mean = torch.special.i0e(torch.tensor(1 / sigma**2, dtype=torch.float64)).item()
        (found,) = EmbeddingDistance(sigma)(Reading(circle.float()), Reference.of(point.float()), 0)
        assert found.value == pytest.approx(1000 * (1 - mean), rel=1e-6)


def test_extrapolation_hits_the_exact_distance_where_the_sample_is_too_high() -> None:
    """Both Gaussians are known, and the reference's moments are given exactly."""
    d, exact = 12, 12 * 0.1**2 + 12 * 0.2**2
    real = Reference(None, torch.zeros(d).double(), torch.eye(d).double())
    draws = [Reading(points(400, i, d) * 0.9 + 0.2) for i in range(40)]
    means, errors = [], []
    for measure in (FrechetInfinity(), FrechetDistance()):
        found = [measure(made, real, 0)[0] for made in draws]
        means.append(sum(v.value for v in found) / len(draws))
        errors.append(sum(v.error or 0 for v in found) / len(draws) / len(draws) ** 0.5)
    assert abs(means[0] - exact) < 3 * errors[0]
    assert means[1] - exact > 5 * errors[1]


def test_what_is_lacking_is_said() -> None:
    moments = Reference(None, torch.zeros(2).double(), torch.eye(2).double())
    for measure in (PrecisionRecall(), DensityCoverage(), EmbeddingDistance(), InceptionScore()):
        with pytest.raises(LeftOut, match="is left out: the "):
            measure(Reading(points(50, 0)), moments, 0)
    with pytest.raises(LeftOut, match="fd_infinity is left out"):
        FrechetInfinity()(Reading(points(50, 0, 40)), Reference.of(points(50, 1, 40)), 0)
