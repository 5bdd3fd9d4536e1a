"""Every figure moves the right way with damage: noise, blur, fewer distinct pictures, missing classes."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from difflab.config.compose import compose
from difflab.config.instantiate import build
from difflab.data.embedded import fashion_mini
from difflab.data.images import Images
from difflab.metrics.efficientnet_lite0 import EfficientNetLite0
from difflab.metrics.reference import RealPictures
from difflab.metrics.suite import Suite

N = 500
LOW = ("fd", "kid", "cmmd")
FIDELITY, VARIETY = ("precision", "density"), ("recall", "coverage")


@pytest.fixture(scope="module")
def real() -> Images:
    """Real garments, the order shuffled."""
    train = fashion_mini((1, 32, 32))[0]
    return train.select(torch.randperm(len(train), generator=torch.Generator().manual_seed(0)))


@pytest.fixture(scope="module")
def score(real: Images) -> Callable[[Tensor], dict[str, float]]:
    """All figures but the extrapolated one, which needs thousands of pictures."""
    node = compose("train", ["figures=all", "~figures.fd_infinity"]).figures
    measures = {name: build(measure) for name, measure in node.items()}
    extractor = EfficientNetLite0(32)
    suite = Suite(extractor, RealPictures(real.select(torch.arange(N)), "garments"), measures, seed=0)

    def scored(images: Tensor) -> dict[str, float]:
        return {f.name.removesuffix(f"_{extractor.name}"): f.value for f in suite.score(images, {})}

    return scored


def noisy(real: Images, levels: int) -> Tensor:
    noise = torch.randn(real.pixels[N : 2 * N].shape, generator=torch.Generator().manual_seed(0)) * levels
    return (real.pixels[N : 2 * N] + noise).round().clamp(0, 255).to(torch.uint8)


def blurred(real: Images, sigma: float) -> Tensor:
    return gaussian_blur(real.pixels[N : 2 * N], [9, 9], [sigma, sigma])


def repeated(real: Images, distinct: int) -> Tensor:
    return real.pixels[N : N + distinct].repeat(N // distinct, 1, 1, 1)


def of_classes(real: Images, classes: int) -> Tensor:
    assert real.labels is not None
    kept = (real.labels[N:] < classes).nonzero()[:N, 0] + N
    assert len(kept) == N
    return real.pixels[kept]


@pytest.mark.parametrize(
    ("damage", "amounts", "rising", "falling"),
    [
        (noisy, (0, 12, 30, 80), LOW, (*FIDELITY, "coverage")),
        (blurred, (0.3, 1.0, 2.0, 4.0), LOW, (*FIDELITY, "coverage")),
        (repeated, (500, 100, 20, 5), LOW, VARIETY),
        (of_classes, (10, 6, 3, 1), LOW, VARIETY),
    ],
)
def test_growing_damage_moves_the_figures_one_way(
    damage: Callable[[Images, float], Tensor],
    amounts: Sequence[float],
    rising: Sequence[str],
    falling: Sequence[str],
    real: Images,
    score: Callable[[Tensor], dict[str, float]],
) -> None:
    scores = [score(damage(real, amount)) for amount in amounts]
    for name in rising:
        values = [s[name] for s in scores]
        assert values == sorted(set(values)), name
    for name in falling:
        values = [s[name] for s in scores]
        assert values == sorted(values, reverse=True), name
        assert values[-1] < values[0], name
