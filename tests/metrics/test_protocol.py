"""Which figures may be compared: measured alike, whatever the samples are."""

import pytest

from difflab.metrics.protocol import Figure, differences, in_words, lines

MEASURED = {
    "n": 2048, "reference": "cifar10/train", "reference_n": 50000, "reference_digest": "ab" * 32, "flips": "none",
    "extractor": "inception", "weights_sha256": "cd" * 32, "resize": "tf1-bilinear 299x299", "kid_subset_size": 500,
}  # fmt: skip


def figure(name="kid", **protocol):
    return Figure(name, 1.0, 0.1, {**MEASURED, "sampler": "heun()", "nfe": 35, **protocol})


@pytest.mark.parametrize(
    "told",
    [
        {"sampler": "ddim(eta=0.0)"}, {"nfe": 250}, {"grid": "Karras(rho=7)"}, {"guidance": "CFG(scale=2)"},
        {"weights": "raw"}, {"ema_halflife_nimg": 5}, {"nimg": 9}, {"sample_seed": 3}, {"seed": 1}, {"source": "pics"},
        {"source_digest": "00" * 32}, {"role": "floor"}, {"warning": "few"}, {"reference": "another name"},
    ],
    ids=lambda told: next(iter(told)),
)  # fmt: skip
def test_how_samples_were_made_may_differ(told):
    assert differences(figure(), figure(**told)) == {}
    assert differences(figure(**told), figure()) == {}


@pytest.mark.parametrize(
    "told",
    [
        {"n": 2047}, {"reference_digest": "ac" * 32}, {"reference_n": None}, {"flips": "reference"},
        {"extractor": "clip"},
        {"weights_sha256": "ce" * 32}, {"resize": "bicubic"}, {"kid_subset_size": 499}, {"pictures_resize": "squash"},
    ],
    ids=lambda told: next(iter(told)),
)  # fmt: skip
def test_how_they_were_measured_may_not(told):
    ((key, value),) = told.items()
    assert differences(figure(), figure(**told)) == {key: (MEASURED.get(key), value)}
    assert differences(figure(**told), figure()) == {key: (value, MEASURED.get(key))}


def test_names_may_not_differ():
    assert differences(figure("fid"), figure("fd_inception")) == {"name": ("fid", "fd_inception")}


def test_in_words():
    found = differences(figure(), figure(n=64, weights_sha256="ce" * 32, pictures_resize="crop"))
    assert in_words(found) == "n 2048 / 64, weights_sha256 cdcdcdcd / cececece, pictures_resize none / crop"


def test_a_figure_comes_back_from_json():
    assert Figure.from_json(figure().to_json()) == figure()


def test_what_figures_share_is_said_once() -> None:
    shared = {"n": 3, "reference": "x/train", "reference_n": 9, "sampler": "heun", "nfe": 35, "source": "a"}
    fd, kid = (
        Figure("fd", 1.0, 0.1, {**shared, "warning": "too few"}),
        Figure("kid", 2.0, 0.2, {**shared, "kid_subsets": 5}),
    )
    floor = Figure("fd", 0.5, None, {"n": 3, "source": "b", "warning": "too few"})
    assert list(lines([fd, kid, floor])) == [
        "n=3 vs x/train 9, heun 35 NFE, source=a:",
        "  fd 1 ± 0.1 WARNING: too few",
        "  kid 2 ± 0.2 (kid_subsets=5)",
        "n=3, source=b:",
        "  fd 0.5 WARNING: too few",
    ]
