"""Captions as numbers, with an open vocabulary: a word is the set of its character n-grams (fastText, 1607.04606).

`<cat>` is itself, <ca, cat, at>, <cat and cat>: "cats" and "catlike" share most of it, and mean something before they
are ever seen. The numbers are hashes, so that there is no dictionary to ship, and no word outside of it.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Int64
from torch import Tensor

LENGTHS = (3, 4)  # letters of an n-gram, the marks of the word's ends among them
_WORD = re.compile(r"[^\W_]+")  # letters and digits of any script


def words_of(caption: str) -> list[str]:
    """The words in lower case, in Unicode's normal form NFKC; all else parts words and is gone."""
    return _WORD.findall(unicodedata.normalize("NFKC", caption).casefold())


def ngrams_of(word: str) -> list[str]:
    """The word between its marks, then its n-grams from the shortest on, each once."""
    marked = f"<{word}>"
    parts = [marked[i : i + n] for n in LENGTHS for i in range(len(marked) - n + 1)]
    return list(dict.fromkeys([marked, *parts]))


def numbers(captions: Sequence[str], words: int, ngrams: int, buckets: int) -> Int64[Tensor, "b words ngrams"]:
    """A number of 1..`buckets` for each n-gram of each word; 0 where there is none.

    Words of a caption after the first `words`, and n-grams of a word after the first `ngrams`, are cut.
    """
    out = torch.zeros(len(captions), words, ngrams, dtype=torch.int64)
    for row, caption in enumerate(captions):
        for place, word in enumerate(words_of(caption)[:words]):
            found = _hashed(word, ngrams, buckets)
            out[row, place, : len(found)] = torch.tensor(found)
    return out


@lru_cache(maxsize=65_536)  # the same words come again and again while training
def _hashed(word: str, ngrams: int, buckets: int) -> tuple[int, ...]:
    """By BLAKE2: Python's own hash differs from process to process."""
    digests = (hashlib.blake2b(part.encode(), digest_size=8).digest() for part in ngrams_of(word)[:ngrams])
    return tuple(1 + int.from_bytes(digest, "little") % buckets for digest in digests)
