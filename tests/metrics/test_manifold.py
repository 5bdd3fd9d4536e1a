"""Balls of neighbours where it is hard: more rows than a block, copies, features far from the origin."""

import pytest
import torch

from difflab.metrics.density_coverage import DensityCoverage
from difflab.metrics.extractor import Reading
from difflab.metrics.manifold import ROWS
from difflab.metrics.precision_recall import PrecisionRecall
from difflab.metrics.reference import Reference


def points(n: int, seed: int, d: int = 4) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def values(x: torch.Tensor, y: torch.Tensor, pictures: int = 5000) -> dict[str, float]:
    reference = Reference.of(y)
    measures = (PrecisionRecall(3, pictures), DensityCoverage(5, pictures))
    return {v.name: v.value for measure in measures for v in measure(Reading(x), reference, 0)}


def radii(x: torch.Tensor, k: int) -> torch.Tensor:
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").kthvalue(k + 1).values  # itself is the first


def test_more_rows_than_a_block() -> None:
    x, y = points(ROWS + 300, 0) * 0.8 + 0.2, points(2 * ROWS + 100, 1)
    a, b = x.double(), y.double()
    between = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    in_real = between <= radii(b, 5)
    expected = {
        "precision": (between <= radii(b, 3)).any(1).double().mean().item(),
        "recall": (between <= radii(a, 3)[:, None]).any(0).double().mean().item(),
        "density": in_real.double().sum(1).mean().item() / 5,
        "coverage": in_real.any(0).double().mean().item(),
    }
    assert values(x, y) == pytest.approx(expected, rel=1e-12)


def test_copies_are_inside_however_far_from_the_origin() -> None:
    """Balls are closed, as the papers' are; where k + 1 real pictures are one, theirs has no radius at all.

    Naeem's own code has open balls and would call samples that are such copies outside of everything.
    """
    y = points(10, 0, 64).repeat(6, 1) + 1000
    found = values(y[:10], y)
    assert (found["precision"], found["coverage"]) == (1, 1)
    assert found["density"] == pytest.approx(6 / 5)
    assert values(y[:10] + 1e-2, y)["precision"] == 0


def test_no_more_pictures_than_asked_for() -> None:
    x, y = points(60, 0), points(90, 1)
    (precision, _) = PrecisionRecall(3, 50)(Reading(x), Reference.of(y), 0)
    assert precision.details == {
        "precision_recall_k": 3, "precision_recall_n": 50, "precision_recall_reference_n": 50,
    }  # fmt: skip
    assert values(x, y, 50) != values(x, y)
