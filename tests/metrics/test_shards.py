"""Shards: found again, never stale, never half; any number of processes and any batch give the same reading."""

import logging
from typing import ClassVar

import pytest
import torch
from made_pictures import shapes

from difflab.data.images import Images
from difflab.errors import DifflabError
from difflab.metrics.extractor import Reading
from difflab.scoring import shards as shards_module
from difflab.scoring.shards import Shards
from difflab.scoring.sources import ImagesSource


class Counting:
    """An extractor that counts what it was asked, and stops where it is told."""

    names: ClassVar = {}
    name, dim, weights_sha256, resize, batch = "rows", 32, "ab" * 32, "none", 8

    def __init__(self, stop_after: int | None = None) -> None:
        self.seen, self.stop_after = 0, stop_after

    def __call__(self, images):
        if self.stop_after is not None and self.seen >= self.stop_after:
            raise KeyboardInterrupt
        self.seen += len(images)
        return Reading(images.float().mean((1, 3)), images.float().mean((1, 2, 3))[:, None])


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(shards_module, "SHARD", 16)
    monkeypatch.setattr(shards_module, "READ", 8)


@pytest.fixture(scope="module")
def images():
    return Images(shapes(100, seed=0))


def source(images, seed=0, batch=8):
    made = ImagesSource(images, "shapes", seed)
    made.batch = batch
    return made


def expected(images, n, seed=0):
    return torch.cat(list(source(images, seed).batches(range(n)))).float().mean((1, 3))


def equal(a: Reading, b: Reading) -> bool:
    return torch.equal(a.features, b.features) and torch.equal(a.logits, b.logits)


def made(images, extractor, n, folder, **more):
    shards = Shards(source(images, **more), extractor, n, folder)
    shards.make()
    return shards


def test_the_second_time_nothing_is_made(images, tmp_path):
    extractor = Counting()
    first = made(images, extractor, 40, tmp_path)
    again = made(images, extractor, 40, tmp_path)
    assert (first.found, again.found, extractor.seen) == (0, 3, 40)
    assert torch.equal(first.reading().features, expected(images, 40))
    assert equal(first.reading(), again.reading())
    assert "3 of 3 found" in str(again)


def test_a_stop_costs_the_shard_at_hand_alone(images, tmp_path):
    stopped = Counting(stop_after=40)
    with pytest.raises(KeyboardInterrupt):
        made(images, stopped, 80, tmp_path)
    assert not list(tmp_path.rglob(".*")), "half a file is left"
    extractor = Counting()
    on = made(images, extractor, 80, tmp_path)
    assert (on.found, extractor.seen) == (2, 80 - 32)
    assert torch.equal(on.reading().features, expected(images, 80))


def test_more_pictures_take_over_the_whole_shards_of_fewer(images, tmp_path):
    extractor = Counting()
    made(images, extractor, 40, tmp_path)
    assert made(images, extractor, 90, tmp_path).found == 2
    assert extractor.seen == 40 + 90 - 32
    assert made(images, extractor, 32, tmp_path).found == 2


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "other"])
def test_a_damaged_shard_is_made_again(images, tmp_path, damage, caplog):
    first = made(images, Counting(), 48, tmp_path)
    path = first.plan[1].path
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    path.write_bytes({"truncated": whole[:middle], "flipped": flipped, "empty": b"", "other": b"x" * 99}[damage])
    extractor = Counting()
    with caplog.at_level(logging.WARNING):
        again = made(images, extractor, 48, tmp_path)
    assert "is damaged" in caplog.text
    assert (again.found, extractor.seen) == (2, 16)
    assert equal(first.reading(), again.reading())
    assert path.read_bytes() == whole


@pytest.mark.parametrize("world", [2, 3, 9])
def test_processes_merge_to_what_one_makes_bit_for_bit(images, tmp_path, world):
    alone = made(images, Counting(), 90, tmp_path / "alone")
    extractors = [Counting() for _ in range(world)]
    ranks = [Shards(source(images), extractor, 90, tmp_path / "shared") for extractor in extractors]
    for rank, shards in reversed(list(enumerate(ranks))):
        shards.make(rank, world)
    assert sum(extractor.seen for extractor in extractors) == 90, "no picture is made twice"
    assert max(extractor.seen for extractor in extractors) <= -(-6 // world) * 16
    assert equal(ranks[0].reading(), alone.reading())


@pytest.mark.parametrize("batch", [1, 3, 7, 8, 16, 64])
def test_any_batch_gives_the_same_reading(images, tmp_path, batch):
    asked = []

    class Noting(Counting):
        def __call__(self, pictures):
            asked.append(len(pictures))
            return super().__call__(pictures)

    shards = made(images, Noting(), 41, tmp_path / str(batch), batch=batch)
    assert torch.equal(shards.reading().features, expected(images, 41))
    assert asked == [8, 8, 8, 8, 8, 1], "the extractor sees the same batches"


def test_whatever_a_reading_depends_on_changes_the_folder(images, tmp_path):
    folders = {Shards(source(images, seed), Counting(), 40, tmp_path).folder for seed in (0, 1)}
    folders.add(Shards(source(Images(shapes(100, seed=1))), Counting(), 40, tmp_path).folder)
    for key, value in (("name", "columns"), ("weights_sha256", "cd" * 32), ("resize", "nearest")):
        other = Counting()
        setattr(other, key, value)
        folders.add(Shards(source(images), other, 40, tmp_path).folder)
    assert len(folders) == 6


def test_a_share_that_was_never_made_is_named(images, tmp_path):
    shards = Shards(source(images), Counting(), 40, tmp_path)
    shards.make(0, 2)
    with pytest.raises(DifflabError, match="1 of 3 shards are missing"):
        shards.reading()


def test_a_folder_that_cannot_be_written(images, tmp_path, caplog):
    (tmp_path / "file").write_text("where the folder should be")
    with caplog.at_level(logging.WARNING):
        assert len(made(images, Counting(), 40, tmp_path / "file").reading().features) == 40
    assert "cannot be written" in caplog.text
    with pytest.raises(DifflabError, match=r"cannot be written .* set trainer.devices=1"):
        Shards(source(images), Counting(), 40, tmp_path / "file").make(0, 2)


def test_work_ends_where_another_process_is_gone(images, tmp_path):
    def gone():
        raise DifflabError("process 2 of 2 has stopped")

    extractor = Counting()
    with pytest.raises(DifflabError, match="process 2 of 2"):
        Shards(source(images), extractor, 40, tmp_path).make(0, 2, gone)
    assert extractor.seen == 0
