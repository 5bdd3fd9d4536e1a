"""Figures with their protocol: right names, right order, and what they say of themselves."""

import json
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from made_pictures import Pictures, shapes
from torch.nn.functional import pad
from torchvision.transforms.v2.functional import gaussian_blur

from difflab.errors import DifflabError
from difflab.files import embedded_dir
from difflab.metrics.efficientnet_lite0 import EfficientNetLite0
from difflab.metrics.extractor import read
from difflab.metrics.frechet import FrechetDistance, distance
from difflab.metrics.gaussian import Gaussian
from difflab.metrics.kid import KernelDistance
from difflab.metrics.protocol import Figure
from difflab.metrics.reference import RealPictures
from difflab.metrics.suite import Suite


@pytest.fixture(scope="module")
def extractor():
    return EfficientNetLite0()


def both(extractor, pixels, name="x", seed=0, subsets=50, subset_size=500, **more):
    measures = {"fd": FrechetDistance(), "kid": KernelDistance(subsets, subset_size)}
    return Suite(extractor, RealPictures(Pictures(pixels), name), measures, seed, **more)


@pytest.fixture
def suite(extractor):
    return both(extractor, shapes(200, seed=0), "shapes/train", subsets=5, subset_size=50)


def noisy(images, levels):
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)) * levels
    return (images + noise).round().clamp(0, 255).to(torch.uint8)


def blurred(images, sigma):
    return gaussian_blur(images, [9, 9], [sigma, sigma])


def test_one_pass_gives_both_figures_with_their_protocol(suite, extractor):
    made = shapes(60, seed=1)
    fd, kid = suite.score(made, {"sampler": "heun", "nfe": 35, "ema": "500 kimg"})
    assert [fd.name, kid.name] == ["fd_efficientnet_lite0", "kid_efficientnet_lite0"]
    sides = (read(extractor, images).features for images in (suite.real.pictures.pixels, made))
    exact = distance(*map(Gaussian.of_features, sides))
    assert fd.value == pytest.approx(exact, rel=1e-6)
    assert (kid.protocol["kid_subset_size"], kid.protocol["kid_subsets"]) == (50, 5)
    assert None not in (fd.error, kid.error)
    expected = {"n": 60, "reference": "shapes/train", "reference_n": 200, "seed": 0, "nfe": 35}
    assert expected.items() <= fd.protocol.items()
    assert json.loads(json.dumps(fd.to_json()))["protocol"]["weights_sha256"] == extractor.weights_sha256


def test_a_figure_reads_as_one_line(suite):
    text = str(suite.score(shapes(60, seed=1), {"sampler": "heun", "nfe": 35, "guidance": None, "ema": 0.5})[0])
    assert (
        "(n=60 vs shapes/train 200, efficientnet_lite0@57934424, bilinear 64x64 antialias=True, grey to RGB, " in text
    )
    assert ", heun 35 NFE" in text
    assert "ema=0.5" in text
    assert "guidance" not in text
    assert "\n" not in text
    assert str(Figure("kid", 0.0123456, 0.001, {"n": 3})) == "kid 0.01235 ± 0.001 (n=3)"


def test_few_pictures_warn_and_one_is_refused(suite):
    fd, kid = suite.score(shapes(60, seed=1), {})
    assert "n=60 is below the 1280 features" in str(fd)
    assert "WARNING" not in str(kid), "KID is unbiased"
    with pytest.raises(DifflabError, match="2 pictures or more, here 1"):
        suite.score(shapes(1, seed=1), {})
    with pytest.raises(DifflabError, match="reference shapes/one has 1 pictures"):
        RealPictures(Pictures(shapes(1, seed=1)), "shapes/one")


def test_leaves_global_randomness_alone_and_depends_on_its_seed(extractor):
    real, made = shapes(80, seed=0), shapes(60, seed=1)
    before = torch.get_rng_state()
    kids = [both(extractor, real, seed=s, subset_size=20).score(made, {})[1].value for s in (0, 0, 1)]
    assert kids[0] == kids[1] != kids[2]
    assert torch.equal(torch.get_rng_state(), before)


def test_both_passes_are_shown(extractor):
    shown = []

    @contextmanager
    def bars(text, total):
        done = []
        yield done.append
        shown.append((text, total, sum(done)))

    both(extractor, shapes(80, seed=0), bars=bars).score(shapes(60, seed=1), {})
    assert sorted(shown) == [("reference features", 80, 80), ("sample features", 60, 60)]


@pytest.fixture(scope="module")
def garments():
    """2,000 real pictures of the embedded set, shuffled over its classes."""
    with np.load(embedded_dir() / "fashion_mini" / "fashion_mini.npz", allow_pickle=False) as file:
        pixels = pad(torch.from_numpy(file["val_pixels"])[:, None], (2, 2, 2, 2))
    return pixels[torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))]


@pytest.mark.parametrize(("spoil", "amounts"), [(noisy, (4, 12, 30, 80)), (blurred, (0.5, 1.0, 2.0, 4.0))])
def test_growing_damage_of_real_pictures_raises_both_figures(extractor, garments, spoil, amounts):
    suite = both(extractor, garments[:400])
    made = garments[400:800]
    scores = [suite.score(made, {})] + [suite.score(spoil(made, a), {}) for a in amounts]
    for figure in zip(*scores, strict=True):
        values = [f.value for f in figure]
        assert values == sorted(set(values))
