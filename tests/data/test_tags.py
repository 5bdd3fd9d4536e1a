"""Tags of captions: what training leaves out, by chance and by position alone."""

from itertools import islice
from typing import Any

import pytest
import torch

from difflab.conditions.encoded import Encoded
from difflab.conditions.none import NoCondition
from difflab.data import tags
from difflab.data.image_data import ImageData
from difflab.data.images import Images
from difflab.data.stream import Stream
from difflab.errors import DifflabError
from tests.conditions.test_frozen import Letters

CAPTION = "cat, noto style, animals & nature"
ALL = ["cat", "cat, noto style", "cat, animals & nature", CAPTION]


def images(*captions: str) -> Images:
    return Images(torch.zeros(len(captions), 1, 2, 2, dtype=torch.uint8), captions=list(captions))


def data(images: Images, **settings: Any) -> ImageData:
    arguments: dict[str, Any] = {"classes": None, "captions": True, "sigma_data": 0.5, "flip": False, **settings}
    return ImageData(source=lambda: (images, images), name="made", shape=(1, 2, 2), batch_size=2, seed=0, **arguments)


def test_each_tag_is_left_out_at_the_chosen_rate() -> None:
    found = [tags.thinned(CAPTION, 0.3, 0, position) for position in range(4000)]
    shares = [found.count(variant) / 4000 for variant in ALL]
    assert sum(shares) == 1
    assert shares == pytest.approx([0.09, 0.21, 0.21, 0.49], abs=0.03)


def test_ends_of_the_range() -> None:
    assert {tags.thinned(CAPTION, 0.0, 0, p) for p in range(99)} == {CAPTION}
    assert {tags.thinned(CAPTION, 1.0, 0, p) for p in range(99)} == {"cat"}
    assert tags.thinned("cat", 1.0, 0, 0) == "cat"
    assert list(tags.variants(CAPTION, 0.5)) == ALL
    assert list(tags.variants(CAPTION, 0.0)) == [CAPTION]


def test_captions_are_a_function_of_the_position() -> None:
    def captions(batch_size: int, start: int = 0, seed: int = 0) -> list[str]:
        stream = Stream(images(CAPTION, "dog, b, c"), batch_size, seed, start_nimg=start, tag_dropout=0.5)
        return [caption for batch in islice(stream, 48 // batch_size) for caption in batch["caption"]][: 48 - start]

    whole = captions(4)
    assert whole == captions(6)
    assert whole[12:] == captions(4, start=12)
    assert whole != captions(4, seed=1)
    assert set(ALL) < set(whole)


def test_prompts_are_all_that_training_may_read() -> None:
    two = images(CAPTION, "dog, b, c")
    assert list(data(two).prompts) == [CAPTION, "dog, b, c"]
    assert list(data(two, tag_dropout=0.1).prompts) == sorted([*ALL, "dog", "dog, b", "dog, c", "dog, b, c"])
    assert not data(two, captions=False).prompts and list(data(two, captions=False).prompts) == []


def test_many_tags_are_told_apart_only_for_who_reads_them_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    many = data(images(", ".join(["cat", *map(str, range(40))])), tag_dropout=0.1).prompts  # a million million
    assert many
    NoCondition({}).prepare(many)
    with pytest.raises(DifflabError, match=r"more than 250,000 captions, as data\.tag_dropout=0\.1 .* 40 tags: set"):
        Encoded(Letters()).prepare(many)
    monkeypatch.setattr(tags, "MOST", 1)
    with pytest.raises(DifflabError, match="more than 1 captions of the data set: set condition=text_learned"):
        list(data(images("a", "b")).prompts)


def test_captions_without_the_named_tags_are_refused() -> None:
    assert data(images(CAPTION), tags=["style", "category"]).train.captions == [CAPTION]
    with pytest.raises(DifflabError, match=r"names 1 tags.* caption of data set made is 'cat, noto style, .*tags=\[\]"):
        data(images("dog, b", CAPTION), tags=["style"]).setup()
    with pytest.raises(DifflabError, match=r"data\.tag_dropout=1\.5: a share of the tags"):
        data(images(CAPTION), tag_dropout=1.5)
