"""What `reference=` names: a split of the data, a folder or .npz of pictures, or an .npz of statistics."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float32
from omegaconf import DictConfig
from torch import Tensor

from difflab.data.image_data import ImageData
from difflab.data.images import Images
from difflab.errors import DifflabError
from difflab.metrics import statistics
from difflab.metrics.extractor import Extractor, read
from difflab.metrics.protocol import Entry
from difflab.metrics.reference import RealPictures, Reference, check_pictures, kept, path_of, real_protocol
from difflab.metrics.statistics import Statistics
from difflab.progress import Bars, silent
from difflab.rng import generator
from difflab.runs.directory import user_path
from difflab.scoring.picture_sets import PictureSet, open_pictures

SPLITS = ("train", "val")


@dataclass(frozen=True)
class RealSet:
    """Pictures on disk as the reference, read as a stream; flips: every picture counts mirrored as well.

    Raises:
        DifflabError: fewer than 2 pictures.
    """

    source: PictureSet
    flips: bool

    def __post_init__(self) -> None:
        check_pictures(self._n, self.source.name)

    @property
    def _n(self) -> int:
        return self.source.shelf.n

    def protocol(self) -> dict[str, Entry]:
        found = real_protocol(self.source.name, self._n, self.source.digest, self.flips)
        return found | ({"reference_resize": self.source.resize} if self.source.resize else {})

    def path(self, extractor: Extractor) -> Path:
        """Where the reference is kept."""
        return path_of(extractor, self.source.digest, self._n, self.flips)

    def load(self, extractor: Extractor, bars: Bars = silent) -> Reference:
        shape = (self._n * (1 + self.flips), extractor.dim)
        return kept(self.path(extractor), shape, lambda: self._features(extractor, bars))

    def _features(self, extractor: Extractor, bars: Bars) -> Float32[Tensor, "n d"]:
        """Those of the mirrored pictures behind the others."""
        plain, mirrored = [], []
        with bars("reference features", self._n) as advance:
            for images in self.source.batches(range(self._n)):
                plain.append(read(extractor, images).features)
                if self.flips:
                    mirrored.append(read(extractor, images.flip(-1)).features)
                advance(len(images))
        return torch.cat(plain + mirrored)


def real_of(cfg: DictConfig, data: ImageData | None, extractor: Extractor) -> RealPictures | RealSet | Statistics:
    """What cfg.reference names (null: the training split), fit for the extractor.

    Raises:
        DifflabError: a split without data, statistics of another extractor, or none of what can be a reference.
    """
    name = cfg.reference or "train"
    if name in SPLITS:
        return _split(cfg, data, name)
    path = user_path(name)
    there = statistics.dimension(path) if path.suffix == ".npz" else None
    if there is not None and (there == extractor.dim or not _holds_pictures(path)):
        found = Statistics(path)
        found.load(extractor)  # refused, if at all, before anything is made
        return found
    shape: Sequence[int] | None = data.shape if data else None
    return RealSet(open_pictures(path, f"reference={name}", shape, cfg.resize, seed=0), cfg.flips)


def _split(cfg: DictConfig, data: ImageData | None, name: str) -> RealPictures:
    if data is None:
        raise DifflabError(f"reference={name} is a split of a data set: name it, such as data=cifar10")
    images = data.train if name == "train" else data.val
    return RealPictures(chosen(images, cfg.metrics.reference_n), f"{data.name}/{name}", cfg.flips)


def chosen(images: Images, n: int | None) -> Images:
    """All pictures, or `n` of them in a fixed random choice."""
    if n is None or n >= len(images):
        return images
    return images.select(torch.randperm(len(images), generator=generator(0, "reference"))[:n])


def _holds_pictures(path: Path) -> bool:
    from difflab.scoring.picture_arrays import PictureArray

    try:
        return len(PictureArray(path)) > 0
    except DifflabError:
        return False
