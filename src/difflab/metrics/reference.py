"""What samples are compared with: features and moments of a data set, cached under all they depend on."""

import hashlib
import json
import logging
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Float64, UInt8
from torch import Tensor

from difflab.errors import DifflabError
from difflab.files import cache_dir, replacing
from difflab.metrics.extractor import Extractor, read
from difflab.metrics.gaussian import Gaussian, gram
from difflab.metrics.protocol import Entry
from difflab.progress import Bars, silent

VERSION = 2
"""Raised whenever the same pictures and weights would give other features, so that old files are not read."""

log = logging.getLogger(__name__)


@runtime_checkable
class Pictures(Protocol):
    """A set of pictures that knows the hash of its content."""

    @property
    def pixels(self) -> UInt8[Tensor, "n c h w"]: ...

    def digest(self) -> str: ...


@dataclass(frozen=True)
class Reference:
    """Features of every picture of a set, their mean and unbiased (n - 1) covariance.

    `features` is None where only the moments are known, as of published statistics.
    """

    features: Float32[Tensor, "n d"] | None
    mean: Float64[Tensor, "d"]
    cov: Float64[Tensor, "d d"]

    @staticmethod
    def of(features: Float32[Tensor, "n d"]) -> "Reference":
        mean = features.mean(0, dtype=torch.float64)
        centred = features.double().sub_(mean)  # in place: 20,000 rows of 1280 are 200 MB
        return Reference(features, mean, gram(centred) / (len(features) - 1))

    @cached_property
    def gaussian(self) -> Gaussian:
        if self.features is not None and len(self.features) <= len(self.mean):
            return Gaussian.of_features(self.features)  # so few rows are a root already: no eigenvectors
        return Gaussian.of_moments(self.mean, self.cov)


@runtime_checkable
class Real(Protocol):
    """Where a reference comes from."""

    def protocol(self) -> dict[str, Entry]:
        """reference, reference_n, reference_digest and flips."""
        ...

    def load(self, extractor: Extractor, bars: Bars = silent) -> Reference: ...


@dataclass(frozen=True)
class RealPictures:
    """A set of pictures as the reference; protocols call it `name`, such as "fashion_mini/train".

    flips: every picture counts twice, as it is and mirrored, as in the references of some papers.

    Raises:
        DifflabError: fewer than 2 pictures.
    """

    pictures: Pictures
    name: str
    flips: bool = False

    def __post_init__(self) -> None:
        check_pictures(len(self.pictures.pixels), self.name)

    def protocol(self) -> dict[str, Entry]:
        return real_protocol(self.name, len(self.pictures.pixels), self.pictures.digest(), self.flips)

    def load(self, extractor: Extractor, bars: Bars = silent) -> Reference:
        return reference(extractor, self.pictures, bars, self.flips)

    def path(self, extractor: Extractor) -> Path:
        """Where the reference is kept."""
        return cache_path(extractor, self.pictures, self.flips)


def check_pictures(n: int, name: str) -> None:
    """Raises DifflabError: one picture has no spread."""
    if n < 2:
        raise DifflabError(f"reference {name} has {n} pictures, 2 are needed")


def real_protocol(name: str, n: int, digest: str, flips: bool) -> dict[str, Entry]:
    """How figures name a reference of `n` pictures."""
    return {
        "reference": name,
        "reference_n": n * (1 + flips),
        "reference_digest": digest,
        "flips": "reference" if flips else "none",
    }


def reference(extractor: Extractor, pictures: Pictures, bars: Bars = silent, flips: bool = False) -> Reference:
    """The reference of a set: read from the cache folder, or computed and put there.

    A file that is damaged is computed again; one that cannot be written is not an error.
    """

    def compute() -> Float32[Tensor, "n d"]:
        pixels = pictures.pixels
        both = torch.cat([pixels, pixels.flip(-1)]) if flips else pixels
        return read(extractor, both, bars, "reference features").features

    shape = (len(pictures.pixels) * (1 + flips), extractor.dim)
    return kept(cache_path(extractor, pictures, flips), shape, compute)


def kept(path: Path, shape: tuple[int, int], features: Callable[[], Float32[Tensor, "n d"]]) -> Reference:
    """The reference in a file, or of `features` and put there; `shape` is that of the features."""
    found = _read(path, shape)
    if found is None:
        found = Reference.of(features())
        _write(path, found)
    return found


def cache_path(extractor: Extractor, pictures: Pictures, flips: bool = False) -> Path:
    """Where the reference is kept: the name holds a hash of everything that the features depend on."""
    return path_of(extractor, pictures.digest(), len(pictures.pixels), flips)


def path_of(extractor: Extractor, digest: str, n: int, flips: bool) -> Path:
    """Where the reference of `n` pictures of this digest is kept."""
    key = {
        "version": VERSION,
        "data": digest,
        "n": n,
        "extractor": extractor.name,
        "weights": extractor.weights_sha256,
        "resize": extractor.resize,
        **({"flips": True} if flips else {}),
    }
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return cache_dir() / "reference" / f"{extractor.name}-{name[:32]}.npz"


def _read(path: Path, shape: tuple[int, int]) -> Reference | None:
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            found = Reference(*(torch.from_numpy(file[name]) for name in ("features", "mean", "cov")))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        log.warning("reference cache %s is damaged (%s): computed again", path, error)
        return None
    return found if found.features is not None and found.features.shape == shape else None


def _write(path: Path, found: Reference) -> None:
    assert found.features is not None
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, features=found.features.numpy(), mean=found.mean.numpy(), cov=found.cov.numpy())
    except OSError as error:
        log.warning("reference cache %s cannot be written (%s): the next run computes it again", path, error)
