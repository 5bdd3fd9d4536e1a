"""The reference on disk: found again, never stale, never half."""

import logging
from typing import ClassVar

import pytest
import torch
from made_pictures import Pictures, shapes

from difflab.metrics.extractor import Reading
from difflab.metrics.reference import Reference, cache_path, reference


class Counting:
    """An extractor of row means that counts what it was asked."""

    names: ClassVar = {}
    name, dim, weights_sha256, resize, batch = "rows", 32, "ab" * 32, "none", 8

    def __init__(self):
        self.seen = 0

    def __call__(self, images):
        self.seen += len(images)
        return Reading(images.float().mean((1, 3)))


@pytest.fixture
def extractor():
    return Counting()


@pytest.fixture
def pictures():
    return Pictures(shapes(40, seed=0))


def equal(a: Reference, b: Reference) -> bool:
    return all(torch.equal(getattr(a, k), getattr(b, k)) for k in ("features", "mean", "cov"))


def test_the_second_time_it_is_read(extractor, pictures):
    first, again = reference(extractor, pictures), reference(extractor, pictures)
    assert extractor.seen == 40
    assert equal(first, again)
    assert again.features.dtype == torch.float32
    assert again.mean.dtype == again.cov.dtype == torch.float64
    assert torch.allclose(again.cov, torch.cov(first.features.double().T))


def test_whatever_the_features_depend_on_changes_the_file(extractor, pictures):
    paths = {cache_path(extractor, pictures), cache_path(extractor, Pictures(shapes(40, seed=1)))}
    for key, value in (("name", "columns"), ("weights_sha256", "cd" * 32), ("resize", "nearest")):
        other = Counting()
        setattr(other, key, value)
        paths.add(cache_path(other, pictures))
    assert len(paths) == 5


def test_changed_pictures_are_not_found(extractor, pictures):
    reference(extractor, pictures)
    changed = pictures.pixels.clone()
    changed[0, 0, 0, 0] += 1
    assert not equal(reference(extractor, Pictures(changed)), reference(extractor, pictures))
    assert extractor.seen == 80


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "not zip"])
def test_a_damaged_file_is_computed_again(extractor, pictures, damage, caplog):
    first = reference(extractor, pictures)
    path = cache_path(extractor, pictures)
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    path.write_bytes({"truncated": whole[:middle], "flipped": flipped, "empty": b"", "not zip": b"x" * 99}[damage])
    with caplog.at_level(logging.WARNING):
        assert equal(reference(extractor, pictures), first)
    assert "is damaged" in caplog.text
    assert path.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_only_said(extractor, pictures, cache, caplog):
    cache.write_text("a file where the folder should be")
    assert reference(extractor, pictures).features.shape == (40, 32)
    assert "cannot be written" in caplog.text


def test_an_interrupted_pass_leaves_nothing(extractor, pictures, cache):
    def broken(images):
        raise KeyboardInterrupt

    extractor.__class__ = type("Broken", (Counting,), {"__call__": lambda self, images: broken(images)})
    with pytest.raises(KeyboardInterrupt):
        reference(extractor, pictures)
    assert not list(cache.rglob("*.npz"))
