"""Reference statistics as files: what others write is read, and what we write others read."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from made_pictures import Pictures, shapes
from pytorch_fid.fid_score import calculate_frechet_distance, compute_statistics_of_path

from difflab.errors import DifflabError
from difflab.metrics import statistics
from difflab.metrics.extractor import Reading
from difflab.metrics.frechet import FrechetDistance
from difflab.metrics.kid import KernelDistance
from difflab.metrics.reference import RealPictures, Reference
from difflab.metrics.statistics import Statistics
from difflab.metrics.suite import Suite


class Rows:
    """Means of rows and of columns."""

    names: ClassVar = {}
    name, dim, weights_sha256, resize, batch = "rows", 32, "ab" * 32, "none", 64

    def __call__(self, images):
        x = images.float()
        return Reading(x.mean((1, 3)) + 0.5 * x.mean((1, 2)).flip(-1))


@pytest.fixture(scope="module")
def real():
    return Rows()(shapes(300, seed=0)).features


@pytest.fixture
def foreign(real, tmp_path):
    """As ADM, EDM and pytorch-fid write it."""

    def write(**arrays):
        reference = Reference.of(real)
        np.savez(tmp_path / "foreign.npz", **{"mu": reference.mean.numpy(), "sigma": reference.cov.numpy(), **arrays})
        return Statistics(tmp_path / "foreign.npz")

    return write


def suite(real):
    return Suite(Rows(), real, {"fd": FrechetDistance(), "kid": KernelDistance(2, 50)}, seed=0)


def test_ours_come_back_and_others_read_them(real, tmp_path):
    reference = Reference.of(real)
    path = tmp_path / "ours.npz"
    statistics.write(path, reference, {"reference_n": 300, "extractor": "rows", "weights_sha256": "ab" * 32})
    back = Statistics(path).load(Rows())
    assert back.features is None
    assert torch.equal(back.mean, reference.mean)
    assert torch.equal(back.cov, reference.cov)
    assert Statistics(path).protocol()["reference_n"] == 300
    mu, sigma = compute_statistics_of_path(str(path), None, None, None, None)
    assert (mu.dtype, sigma.dtype) == (np.float64, np.float64)
    with np.load(path) as file:  # torch-fidelity-like readers, without pickles
        assert {"mu", "sigma", "n", "protocol"} == set(file.files)
        assert np.array_equal(file["mu"], mu)


def test_distance_is_that_of_pytorch_fid_and_figures_that_need_features_are_left_out(real, foreign, caplog):
    made = shapes(200, seed=1)
    (fd,) = suite(foreign()).score(made, {})
    features = Rows()(made).features.double().numpy()
    theirs = Reference.of(real)
    expected = calculate_frechet_distance(
        features.mean(0), np.cov(features, rowvar=False), theirs.mean.numpy(), theirs.cov.numpy()
    )
    assert fd.value == pytest.approx(expected, rel=1e-6)
    assert (fd.protocol["reference"], fd.protocol["reference_n"]) == ("foreign.npz (statistics)", None)
    assert len(fd.protocol["reference_digest"]) == 64
    assert "kid is left out: the reference holds moments alone" in caplog.text


def test_pictures_and_their_statistics_give_one_distance(real, foreign):
    made = shapes(200, seed=1)
    by_pictures = suite(RealPictures(Pictures(shapes(300, seed=0)), "shapes")).score(made, {})[0]
    by_float32 = suite(foreign(mu=real.mean(0).numpy(), sigma=np.cov(real.numpy().T).astype(np.float32)))
    assert by_float32.score(made, {})[0].value == pytest.approx(by_pictures.value, rel=1e-3)
    assert suite(foreign()).score(made, {})[0].value == pytest.approx(by_pictures.value, rel=1e-6)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"mu": np.zeros(7), "sigma": np.eye(7)}, r"statistics of 7 features, rows gives 32: choose the metrics"),
        ({"mu": np.zeros((32, 1))}, r"mu is \[32, 1\] and sigma \[32, 32\], not \[d\] and \[d,d\]"),
        ({"sigma": np.eye(31)}, r"sigma \[31, 31\]"),
        ({"mu": np.full(32, np.nan)}, "not finite"),
        ({"sigma": np.triu(np.ones((32, 32)))}, "sigma is not symmetric"),
        ({"mu": np.array([None] * 32)}, "can't be used"),
    ],
)
def test_what_is_no_statistics_is_refused(foreign, arrays, words):
    with pytest.raises(DifflabError, match=words):
        foreign(**arrays).load(Rows())


def test_a_damaged_file_is_refused(foreign):
    found = foreign()
    found.file.write_bytes(found.file.read_bytes()[:500])
    with pytest.raises(DifflabError, match=r"can't be used .* get the file again"):
        found.load(Rows())
    assert statistics.dimension(found.file) is None


@pytest.mark.parametrize("key", ["extractor", "weights_sha256", "resize"])
def test_ours_know_their_extractor(real, tmp_path, key):
    protocol = {"reference_n": 300, "extractor": "rows", "weights_sha256": "ab" * 32, "resize": "none"}
    statistics.write(tmp_path / "ours.npz", Reference.of(real), protocol | {key: "other"})
    with pytest.raises(DifflabError, match=f"its {key} is other, that of metrics here"):
        Statistics(tmp_path / "ours.npz").load(Rows())


def test_mirrored_pictures_double_the_reference(real):
    plain = RealPictures(Pictures(shapes(40, seed=0)), "shapes")
    mirrored = replace(plain, flips=True)
    features = mirrored.load(Rows()).features
    pixels = shapes(40, seed=0)
    assert torch.equal(features, torch.cat([Rows()(pixels).features, Rows()(pixels.flip(-1)).features]))
    assert (plain.protocol()["flips"], plain.protocol()["reference_n"]) == ("none", 40)
    assert (mirrored.protocol()["flips"], mirrored.protocol()["reference_n"]) == ("reference", 80)
    assert plain.path(Rows()) != mirrored.path(Rows())
    assert len(plain.load(Rows()).features) == 40
