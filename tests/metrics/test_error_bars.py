"""Every figure's error is the spread that other samples would give it, the reference being what it is."""

import pytest
import torch

from difflab.metrics.cmmd import EmbeddingDistance
from difflab.metrics.density_coverage import DensityCoverage
from difflab.metrics.extractor import Reading
from difflab.metrics.fd_infinity import FrechetInfinity
from difflab.metrics.frechet import FrechetDistance
from difflab.metrics.inception_score import InceptionScore
from difflab.metrics.kid import KernelDistance
from difflab.metrics.measure import Measure
from difflab.metrics.precision_recall import PrecisionRecall
from difflab.metrics.reference import Reference

N, D, DRAWS = 300, 6, 120
MEASURES: dict[str, Measure] = {
    "fd": FrechetDistance(),
    "kid": KernelDistance(subsets=20, subset_size=100),
    "kid of all": KernelDistance(subsets=1, subset_size=N),
    "inception_score": InceptionScore(splits=2),
    "precision_recall": PrecisionRecall(),
    "density_coverage": DensityCoverage(),
    "fd_infinity": FrechetInfinity(),
    "cmmd": EmbeddingDistance(),
}


def draw(seed: int) -> Reading:
    """Samples that are a little narrower than the real ones, and beside them."""
    x = torch.randn(N, D, generator=torch.Generator().manual_seed(seed)) * 0.9 + 0.2
    return Reading(x, 1.5 * x)


@pytest.fixture(scope="module")
def real() -> Reference:
    return Reference.of(torch.randn(N, D, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("name", MEASURES)
def test_the_error_is_the_spread_over_other_samples(name: str, real: Reference) -> None:
    found = [MEASURES[name](draw(1000 + i), real, 0) for i in range(DRAWS)]
    for values in zip(*found, strict=True):
        spread = torch.tensor([v.value for v in values]).std().item()
        errors = [v.error for v in values if v.error is not None]
        assert len(errors) == DRAWS
        # The spread of so many draws is itself known to 7 %.
        assert sum(errors) / DRAWS == pytest.approx(spread, rel=0.2), values[0].name


@pytest.mark.parametrize("name", MEASURES)
def test_draws_depend_on_the_seed_alone(name: str, real: Reference) -> None:
    made, before = draw(1), torch.get_rng_state()
    assert MEASURES[name](made, real, 3) == MEASURES[name](made, real, 3)
    assert torch.equal(torch.get_rng_state(), before)
