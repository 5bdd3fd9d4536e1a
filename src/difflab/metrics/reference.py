"""What samples are compared with: features and moments of a data set, cached under all they depend on."""

import hashlib
import json
import logging
import zipfile
import zlib
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
from difflab.metrics.gaussian import Gaussian
from difflab.metrics.protocol import Entry
from difflab.progress import Bars, silent

VERSION = 1
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
        return Reference(features, mean, centred.T @ centred / (len(features) - 1))

    @cached_property
    def gaussian(self) -> Gaussian:
        return Gaussian.of_moments(self.mean, self.cov)


@runtime_checkable
class Real(Protocol):
    """Where a reference comes from."""

    def protocol(self) -> dict[str, Entry]:
        """reference, reference_n and reference_digest."""
        ...

    def load(self, extractor: Extractor, bars: Bars = silent) -> Reference: ...


@dataclass(frozen=True)
class RealPictures:
    """A set of pictures as the reference; protocols call it `name`, such as "fashion_mini/train".

    Raises:
        DifflabError: fewer than 2 pictures.
    """

    pictures: Pictures
    name: str

    def __post_init__(self) -> None:
        if len(self.pictures.pixels) < 2:
            raise DifflabError(f"reference {self.name} has {len(self.pictures.pixels)} pictures, 2 are needed")

    def protocol(self) -> dict[str, Entry]:
        return {
            "reference": self.name,
            "reference_n": len(self.pictures.pixels),
            "reference_digest": self.pictures.digest(),
        }

    def load(self, extractor: Extractor, bars: Bars = silent) -> Reference:
        return reference(extractor, self.pictures, bars)


def reference(extractor: Extractor, pictures: Pictures, bars: Bars = silent) -> Reference:
    """The reference of a set: read from the cache folder, or computed and put there.

    A file that is damaged is computed again; one that cannot be written is not an error.
    """
    path = cache_path(extractor, pictures)
    found = _read(path, (len(pictures.pixels), extractor.dim))
    if found is None:
        found = Reference.of(read(extractor, pictures.pixels, bars, "reference features").features)
        _write(path, found)
    return found


def cache_path(extractor: Extractor, pictures: Pictures) -> Path:
    """Where the reference is kept: the name holds a hash of everything that the features depend on."""
    key = {
        "version": VERSION,
        "data": pictures.digest(),
        "n": len(pictures.pixels),
        "extractor": extractor.name,
        "weights": extractor.weights_sha256,
        "resize": extractor.resize,
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return cache_dir() / "reference" / f"{extractor.name}-{digest[:32]}.npz"


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
