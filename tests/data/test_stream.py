from itertools import islice
from typing import Any

import pytest
import torch

from difflab.data.images import Images
from difflab.data.stream import Stream
from difflab.pixels import to_model

N = 10


def numbered(n: int = N) -> Images:
    """Picture i is i on its left and 255 - i on its right; its label is i."""
    left = torch.arange(n, dtype=torch.uint8)[:, None, None, None].expand(n, 1, 2, 1)
    return Images(torch.cat([left, 255 - left], -1), torch.arange(n), [str(i) for i in range(n)])


def labels(batches: list[dict[str, Any]]) -> list[int]:
    return torch.cat([b["label"] for b in batches]).tolist()


def equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    same = torch.equal(a["x0"], b["x0"]) and torch.equal(a["label"], b["label"])
    return same and a["caption"] == b["caption"] and a["nimg"] == b["nimg"]


def test_each_epoch_shows_each_picture_once_in_its_own_order() -> None:
    seen = labels(list(islice(Stream(numbered(), 3, seed=0), 10)))
    epochs = [seen[i : i + N] for i in range(0, 30, N)]
    assert all(sorted(epoch) == list(range(N)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.parametrize("batch_size", [1, 3, 10, 25])
def test_batches_are_never_short(batch_size: int) -> None:
    batches = list(islice(Stream(numbered(), batch_size, seed=0, flip=True), 8))
    assert all(b["x0"].shape == (batch_size, 1, 2, 2) for b in batches)
    assert [b["nimg"] for b in batches] == [i * batch_size for i in range(8)]


@pytest.mark.parametrize("steps", [1, 3, 7])
def test_a_stream_started_later_is_the_tail_of_the_stream(steps: int) -> None:
    whole = list(islice(Stream(numbered(), 4, seed=5, flip=True), 12))
    tail = list(islice(Stream(numbered(), 4, seed=5, flip=True, start_nimg=4 * steps), 12 - steps))
    assert all(equal(a, b) for a, b in zip(whole[steps:], tail, strict=True))


def test_positions_do_not_depend_on_the_batch_size() -> None:
    small = torch.cat([b["x0"] for b in islice(Stream(numbered(), 2, seed=1, flip=True), 15)])
    large = torch.cat([b["x0"] for b in islice(Stream(numbered(), 15, seed=1, flip=True), 2)])
    assert torch.equal(small, large)


def test_ranks_share_the_stream_of_one() -> None:
    one = list(islice(Stream(numbered(), 6, seed=2, flip=True), 5))
    ranks = [list(islice(Stream(numbered(), 3, seed=2, flip=True, rank=r, world=2), 5)) for r in range(2)]
    for whole, first, second in zip(one, *ranks, strict=True):
        assert torch.equal(whole["x0"], torch.cat([first["x0"], second["x0"]]))
        assert whole["nimg"] == first["nimg"] == second["nimg"]


def test_columns_belong_to_their_picture_and_are_in_model_units() -> None:
    images = numbered()
    batch = next(iter(Stream(images, 7, seed=3)))
    assert torch.equal(batch["x0"], to_model(images.pixels[batch["label"]]))
    assert batch["caption"] == [str(i) for i in batch["label"].tolist()]


def test_flip_mirrors_half_and_differs_between_epochs() -> None:
    n = 200
    batches = list(islice(Stream(numbered(n), n, seed=0, flip=True), 2))
    flipped = []
    for batch in batches:
        straight = to_model(numbered(n).pixels[batch["label"]])
        mirrored = (batch["x0"] == straight.flip(-1)).flatten(1).all(1)
        assert (mirrored | (batch["x0"] == straight).flatten(1).all(1)).all()
        assert 60 < mirrored.sum() < 140
        flipped.append(mirrored[batch["label"].argsort()])
    assert not torch.equal(*flipped)


def test_seeds_differ_and_zero_is_one() -> None:
    orders = [labels(list(islice(Stream(numbered(), 10, seed=s), 1))) for s in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_unlabelled_pictures_have_no_label() -> None:
    assert set(next(iter(Stream(Images(numbered().pixels), 2, seed=0)))) == {"x0", "nimg"}
