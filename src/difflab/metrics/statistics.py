"""Reference statistics as files: mean and covariance in the .npz that ADM, EDM and pytorch-fid write and read.

Such a file says nothing of the extractor it was counted with; ours do, in keys that the other tools pass over.
"""

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from difflab.errors import DifflabError
from difflab.files import file_digest, replacing
from difflab.metrics.extractor import Extractor
from difflab.metrics.protocol import Entry
from difflab.metrics.reference import Reference
from difflab.progress import Bars, silent

BROKEN = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
SYMMETRIC = 1e-6  # of the largest entry; float32 files are off by 1e-7


@dataclass(frozen=True)
class Statistics:
    """A file of `mu` [d] and `sigma` [d, d] as the reference: no features, so figures that need them are left out.

    Raises:
        DifflabError: on use, a damaged file, or one that holds other shapes or what no covariance holds.
    """

    file: Path

    @cached_property
    def digest(self) -> str:
        return file_digest(self.file)

    def path(self, extractor: Extractor) -> Path:
        """Where it is kept: the file itself."""
        del extractor
        return self.file

    def protocol(self) -> dict[str, Entry]:
        n, flips = self._own.get("reference_n"), self._own.get("flips")
        return {
            "reference": f"{self.file.name} (statistics)",
            "reference_n": n,
            "reference_digest": self.digest,
            "flips": flips,
        }

    def load(self, extractor: Extractor, bars: Bars = silent) -> Reference:
        """Raises DifflabError where the features are of another extractor, as far as the file tells."""
        del bars
        mean, cov = self.moments
        if len(mean) != extractor.dim:
            raise DifflabError(
                f"{self.file} has statistics of {len(mean)} features, {extractor.name} gives {extractor.dim}: "
                "choose the metrics they were counted with (2048 is metrics=inception's)"
            )
        self._check_own(extractor)
        return Reference(None, mean, cov)

    @cached_property
    def moments(self) -> tuple[Float64[Tensor, "d"], Float64[Tensor, "d d"]]:
        """Mean and covariance in float64."""
        arrays = self._arrays("mu", "sigma")
        mean, cov = (torch.from_numpy(np.asarray(arrays[name], np.float64)) for name in ("mu", "sigma"))
        if mean.ndim != 1 or cov.shape != (len(mean), len(mean)):
            raise self._refusal(f"mu is {list(mean.shape)} and sigma {list(cov.shape)}, not [d] and [d,d]")
        if not (mean.isfinite().all() and cov.isfinite().all()):
            raise self._refusal("it holds numbers that are not finite")
        if (cov - cov.T).abs().max() > SYMMETRIC * cov.abs().max():
            raise self._refusal("sigma is not symmetric, so it is no covariance")
        return mean, cov

    @cached_property
    def _own(self) -> dict[str, Entry]:
        """What `write` has noted, {} in files of others."""
        try:
            found = json.loads(str(self._arrays("protocol")["protocol"]))
        except (DifflabError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _check_own(self, extractor: Extractor) -> None:
        for key in ("extractor", "weights_sha256", "resize"):
            here, there = {"extractor": extractor.name}.get(key) or getattr(extractor, key), self._own.get(key)
            if there not in (None, here):
                raise self._refusal(f"its {key} is {there}, that of metrics here {here}")

    def _arrays(self, *names: str) -> dict[str, np.ndarray]:
        try:
            with self.file.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                return {name: file[name] for name in names}
        except BROKEN as error:
            raise self._refusal(" ".join(str(error).split())) from error

    def _refusal(self, why: str) -> DifflabError:
        return DifflabError(f"statistics {self.file} can't be used ({why}): get the file again, or give pictures")


def dimension(path: Path) -> int | None:
    """Features of the statistics in an .npz; None where it holds none."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return len(file["mu"]) if {"mu", "sigma"} <= set(file.files) else None
    except BROKEN:
        return None


def write(path: Path, reference: Reference, protocol: Mapping[str, Entry]) -> None:
    """Write `mu` and `sigma` in float64 as ADM, EDM and pytorch-fid read them, and the protocol beside them."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            mu=reference.mean.numpy(),
            sigma=reference.cov.numpy(),
            n=np.asarray(protocol["reference_n"] or 0),
            protocol=np.asarray(json.dumps(dict(protocol))),
        )
