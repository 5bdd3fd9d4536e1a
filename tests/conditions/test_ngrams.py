"""Captions as numbers: any word has some, and the same ones everywhere."""

import json

import torch

from difflab.conditions.ngrams import ngrams_of, numbers, words_of
from difflab.files import embedded_dir


def of(caption: str, words: int = 4, ngrams: int = 12, buckets: int = 1000) -> torch.Tensor:
    return numbers([caption], words, ngrams, buckets)[0]


def shared(a: str, b: str) -> float:
    """Jaccard's index of the n-grams of two words."""
    left, right = set(ngrams_of(a)), set(ngrams_of(b))
    return len(left & right) / len(left | right)


def test_ngrams_are_those_of_the_paper() -> None:
    assert ngrams_of("cat") == ["<cat>", "<ca", "cat", "at>", "<cat", "cat>"]
    assert ngrams_of("a") == ["<a>"]
    assert "her" in ngrams_of("where")
    assert "<her>" not in ngrams_of("where")  # the word her is another than the letters her


def test_unseen_words_share_what_they_are_made_of() -> None:
    assert shared("cat", "cats") == 3 / 11  # <ca, cat, <cat
    assert shared("cat", "dog") == 0
    assert shared("crying", "cry") > shared("crying", "sunglasses")
    assert len(set(of("cats")[0].tolist()) & set(of("cat")[0].tolist()) - {0}) == 3


def test_words_are_lower_case_and_in_one_unicode_form() -> None:
    assert words_of("Cat, with TEARS-of joy!") == ["cat", "with", "tears", "of", "joy"]
    assert words_of("e\u0301clair \ufb01g") == words_of("\u00e9clair fig")
    assert words_of("猫 gato_2") == ["猫", "gato", "2"]
    assert words_of(" ,.- \U0001f600") == []
    assert torch.equal(of("CAT"), of("cat"))


def test_numbers_are_the_same_in_every_process() -> None:
    """Written down once: a run that is loaded elsewhere has to find the rows that it was trained with."""
    assert of("cat", words=1, ngrams=8).tolist() == [[84, 369, 940, 251, 304, 67, 0, 0]]


def test_what_is_too_long_is_cut_and_what_is_missing_is_0() -> None:
    assert of("a b c d e", words=3).shape == (3, 12)
    assert torch.equal(of("a b c d e", words=3), of("a b c", words=3))
    assert (of("a b", words=3)[2] == 0).all()
    long, short = of("counterclockwise", ngrams=30)[0], of("counterclockwise", ngrams=5)[0]
    assert torch.equal(long[:5], short)
    assert (of("") == 0).all()


def test_numbers_are_rows_of_the_table() -> None:
    found = numbers(["cat with tears of joy", "crying pumpkin"], 8, 16, buckets=7)
    assert found.max() <= 7
    assert set(found.flatten().tolist()) == set(range(8))


def test_held_out_emoji_need_an_open_vocabulary() -> None:
    """The figures of docs/control.md and docs/decisions.md."""
    rows = json.loads((embedded_dir() / "emoji" / "emoji.json").read_text())
    names = {split: {row["name"] for row in rows if row["split"] == split} for split in ("train", "val")}
    known = {word for name in names["train"] for word in words_of(name)}
    parts = {part for word in known for part in ngrams_of(word)}
    with_new = [name for name in names["val"] if not known >= set(words_of(name))]
    new = {word for name in with_new for word in words_of(name)} - known
    assert (len(names["val"]), len(with_new), len(new)) == (193, 115, 123)
    assert sum(bool(parts & set(ngrams_of(word))) for word in new) == 117
    everything = known | new
    assert len({part for word in everything for part in ngrams_of(word)}) == 9998
    assert max(len(ngrams_of(word)) for word in everything) == 32
