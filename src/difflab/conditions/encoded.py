"""The tokens of captions by a frozen encoder, each caption read once: kept in memory, and those of a set on disk."""

import hashlib
import json
import logging
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from difflab.conditions.encoders import Encoder
from difflab.files import cache_dir, replacing
from difflab.progress import Bars, silent

VERSION = 1
"""Raised whenever the same captions and weights would give other tokens, so that old files are not read."""
BATCH = 64

log = logging.getLogger(__name__)


class Encoded:
    """Captions to tokens. It is one for all copies of a condition, as nothing in it is trained."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._known: dict[str, Float32[Tensor, "_n e"]] = {}

    def __deepcopy__(self, memo: dict[int, object]) -> "Encoded":
        return self

    def __call__(self, captions: Sequence[str]) -> Float32[Tensor, "b n e"]:
        """The tokens of each caption, with rows of zeros after the last."""
        self._read(sorted(set(captions) - self._known.keys()), silent)
        return pad_sequence([self._known[caption] for caption in captions], batch_first=True)

    def prepare(self, captions: Iterable[str], bars: Bars = silent) -> None:
        """Know all of these from now on: out of the cache folder, or read and put there.

        A file that is damaged is made again; one that cannot be written is not an error.
        """
        distinct = sorted(set(captions))
        path = self.path(distinct)
        found = _load(path, len(distinct), self.encoder.width)
        if found is not None:
            self._known.update(zip(distinct, found, strict=True))
            return
        self._read([caption for caption in distinct if caption not in self._known], bars)
        _save(path, [self._known[caption] for caption in distinct])

    def path(self, distinct: Sequence[str]) -> Path:
        """Where the tokens of these captions are kept: the name holds a hash of everything that they depend on."""
        encoder = self.encoder
        key = [VERSION, encoder.name, encoder.weights_sha256, encoder.length, *distinct]
        name = hashlib.sha256(json.dumps(key).encode()).hexdigest()
        return cache_dir() / "captions" / f"{encoder.name}-{name[:32]}.npz"

    def _read(self, captions: Sequence[str], bars: Bars) -> None:
        with bars(f"captions by {self.encoder.name}", len(captions)) as advance:
            for start in range(0, len(captions), BATCH):
                part = captions[start : start + BATCH]
                tokens, mask = self.encoder(part)
                with torch.inference_mode(False):  # whoever asks first: they may be trained upon later
                    own = [row[there].clone() for row, there in zip(tokens, mask, strict=True)]
                self._known.update(zip(part, own, strict=True))
                advance(len(part))


def _load(path: Path, n: int, width: int) -> list[Float32[Tensor, "_n e"]] | None:
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            tokens, lengths = torch.from_numpy(file["tokens"]), file["lengths"].tolist()
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        log.warning("caption cache %s is damaged (%s): made again", path, error)
        return None
    return list(tokens.split(lengths)) if len(lengths) == n and tokens.shape[1] == width else None


def _save(path: Path, rows: Sequence[Float32[Tensor, "_n e"]]) -> None:
    lengths = np.array([len(row) for row in rows])
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, tokens=torch.cat(list(rows)).numpy(), lengths=lengths)
    except OSError as error:
        log.warning("caption cache %s cannot be written (%s): the next run reads the captions again", path, error)
