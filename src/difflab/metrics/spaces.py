"""Where distances between pictures are measured: by the features of an extractor, and pixel by pixel."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Shaped, UInt8
from torch import Tensor

from difflab.errors import DifflabError
from difflab.metrics.extractor import Extractor, read
from difflab.metrics.near_copies import AROUND, Closeness
from difflab.metrics.neighbours import Nearest, nearest
from difflab.metrics.protocol import Entry
from difflab.metrics.reference import Pictures, reference
from difflab.progress import Bars, silent


@runtime_checkable
class Space(Protocol):
    """`name` is how figures end, `label` says what it goes by, `scale` turns a Euclidean distance into the space's own.

    exact: whether a distance of 0 means the same picture.
    """

    name: str
    label: str
    scale: float
    exact: bool
    train: Shaped[Tensor, "m d"]

    def rows(self, images: UInt8[Tensor, "n c h w"]) -> Shaped[Tensor, "n d"]:
        """The pictures as points of the space."""
        ...

    def protocol(self) -> dict[str, Entry]: ...


class FeatureSpace:
    """Euclidean distance of an extractor's features; those of the training pictures are cached."""

    scale, exact = 1.0, False

    def __init__(self, extractor: Extractor, train: Pictures, bars: Bars = silent) -> None:
        self.extractor, self.bars, self.name = extractor, bars, extractor.name
        self.label = f"features of {extractor.name}"
        features = reference(extractor, train, bars).features
        assert features is not None
        self.train = features

    def rows(self, images: UInt8[Tensor, "n c h w"]) -> Shaped[Tensor, "n d"]:
        return read(self.extractor, images, self.bars).features

    def protocol(self) -> dict[str, Entry]:
        e = self.extractor
        return {"extractor": e.name, "weights_sha256": e.weights_sha256, "resize": e.resize}


class PixelSpace:
    """Root of the mean squared difference of the pixels, in grey levels of 0..255."""

    name, label, exact = "pixels", "pixels, in grey levels", True

    def __init__(self, train: Pictures) -> None:
        self.train = train.pixels.flatten(1)
        self.scale = self.train.shape[1] ** -0.5

    def rows(self, images: UInt8[Tensor, "n c h w"]) -> Shaped[Tensor, "n d"]:
        return images.flatten(1)

    def protocol(self) -> dict[str, Entry]:
        return {"extractor": "pixels", "weights_sha256": "none", "resize": "none"}


def closeness(
    space: Space, images: UInt8[Tensor, "n c h w"], train: Pictures, mirrored: bool, bars: Bars = silent
) -> Closeness:
    """How near the pictures are to the training pictures; to their mirrored copies too where `mirrored`.

    It is the picture that is mirrored, not the training set: the distance is the same, and there is less to read.

    Raises:
        DifflabError: pictures of another shape than the training pictures, or fewer than 2 of those.
    """
    if images.shape[1:] != train.pixels.shape[1:]:
        shapes = ["x".join(map(str, x.shape[1:])) for x in (images, train.pixels)]
        raise DifflabError(f"pictures of {shapes[0]} are not to be found among training pictures of {shapes[1]}")
    near = nearest(_views(space, images, mirrored), space.train, AROUND, bars=bars)
    first, which = near.rows[:, 0].unique(return_inverse=True)
    own = nearest(_views(space, train.pixels[first], mirrored), space.train, 1, excluding=first, bars=bars)
    return Closeness(Nearest(near.distance * space.scale, near.rows), own.distance[which, 0] * space.scale)


def _views(space: Space, images: UInt8[Tensor, "n c h w"], mirrored: bool) -> Sequence[Shaped[Tensor, "n d"]]:
    return [space.rows(images), *([space.rows(images.flip(-1))] if mirrored else [])]
