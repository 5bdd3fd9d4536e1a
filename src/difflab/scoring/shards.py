"""Readings in shards on disk: a long evaluation goes on where it was stopped, and several processes share it.

A shard is SHARD pictures of a source, made and read by themselves whatever else is: its content depends on (source,
extractor, numbers) alone, which its folder's name is a hash of. It is written whole or not at all.
"""

import itertools
import logging
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from difflab.errors import DifflabError
from difflab.files import replacing
from difflab.metrics.extractor import Extractor, Reading, join, read
from difflab.progress import images_bar, silent
from difflab.scoring.sources import Batch, Source, cut, digest

SHARD = 256
READ = 64  # pictures at a time: a multiple of every extractor's own batch, so that it cuts them as it likes
VERSION = 2
"""Raised whenever the same source and extractor would give other readings, so that old shards are not found."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shard:
    """The pictures `numbers` of a source; `path` holds their reading."""

    path: Path
    numbers: range


class Shards:
    """The reading of the pictures 0..n-1 of a source, as far as it is in `folder` already.

    label: what the progress bar calls it.
    """

    def __init__(self, source: Source, extractor: Extractor, n: int, folder: Path, label: str = "samples") -> None:
        self.source, self.extractor, self.label = source, extractor, label
        self.folder = folder / _key(source, extractor)
        self.plan = [
            Shard(self.folder / f"{start:07d}-{min(start + SHARD, n):07d}.npz", range(start, min(start + SHARD, n)))
            for start in range(0, n, SHARD)
        ]
        self._readings: dict[Shard, Reading] = {}
        self._gather()
        self.found = len(self._readings)

    def __str__(self) -> str:
        return f"shards: {self.found} of {len(self.plan)} found; all are kept in {self.folder} (it may be deleted)"

    def make(self, rank: int = 0, world: int = 1, check: Callable[[], None] = lambda: None) -> None:
        """Make every `world`-th shard that is missing, from shard `rank` on; `check` is called before each.

        Raises:
            DifflabError: of several processes one cannot write what the first is to read.
        """
        mine = self.plan[rank::world]
        missing = [shard for shard in mine if shard not in self._readings]
        total, left = (sum(len(shard.numbers) for shard in shards) for shards in (mine, missing))
        bar = images_bar(self.label, total, total - left) if rank == 0 else silent(self.label, total)
        with bar as advance, closing(self._read(missing, advance)) as readings:
            for shard in missing:
                check()
                self._readings[shard] = next(readings)
                self._keep(shard, alone=world == 1)

    def reading(self) -> Reading:
        """Of all pictures, in their order.

        Raises:
            DifflabError: a shard is missing that another process was to make.
        """
        self._gather()
        if absent := [shard.path.name for shard in self.plan if shard not in self._readings]:
            raise DifflabError(f"{len(absent)} of {len(self.plan)} shards are missing in {self.folder}: start again")
        return join([self._readings[shard] for shard in self.plan])

    def _gather(self) -> None:
        """Load what is on disk and not here yet."""
        for shard in self.plan:
            if shard not in self._readings and (found := self._load(shard)):
                self._readings[shard] = found

    def _read(self, shards: list[Shard], advance: Callable[..., None]) -> Generator[Reading, None, None]:
        """One reading a shard; sources are asked for all chunks at once, so that they can read ahead."""
        chunks = [(shard, chunk) for shard in shards for chunk in cut(shard.numbers, self.source.batch)]
        with closing(self.source.chunks(chunk for _, chunk in chunks)) as pictures:
            for _, parts in itertools.groupby(zip(chunks, pictures, strict=True), key=lambda part: part[0][0]):
                readings = []
                for images in _recut(images for _, images in parts):
                    readings.append(read(self.extractor, images))
                    advance(len(images))
                yield join(readings)

    def _load(self, shard: Shard) -> Reading | None:
        if not shard.path.exists():
            return None
        try:
            with np.load(shard.path, allow_pickle=False) as file:
                arrays = {name: torch.from_numpy(file[name]) for name in file.files}
                found = Reading(arrays["features"], arrays.get("logits"))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            log.warning("shard %s is damaged (%s): made again", shard.path, error)
            return None
        return found if found.features.shape == (len(shard.numbers), self.extractor.dim) else None

    def _keep(self, shard: Shard, alone: bool) -> None:
        reading = self._readings[shard]
        arrays = {"features": reading.features} | ({} if reading.logits is None else {"logits": reading.logits})
        try:
            with replacing(shard.path) as temporary, temporary.open("wb") as file:
                np.savez(file, **{name: tensor.numpy() for name, tensor in arrays.items()})  # type: ignore[arg-type]
        except OSError as error:
            if not alone:
                raise DifflabError(f"shard {shard.path} cannot be written ({error}): set trainer.devices=1") from error
            log.warning("shard %s cannot be written (%s): a stop would lose it", shard.path, error)


def _recut(parts: Iterable[Batch]) -> Iterator[Batch]:
    """The same pictures READ at a time: features do not depend on the batches in which pictures are made."""
    rest: list[Batch] = []
    for part in parts:
        *whole, last = torch.cat([*rest, part]).split(READ)
        rest = [last] if len(last) < READ else []
        yield from whole if rest else [*whole, last]
    yield from rest


def _key(source: Source, extractor: Extractor) -> str:
    return digest({
        "version": VERSION,
        "source": source.digest,
        "extractor": extractor.name,
        "weights": extractor.weights_sha256,
        "resize": extractor.resize,
    })[:32]  # fmt: skip
