"""What turns pictures into features, and the one pass that does it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from difflab.errors import DifflabError
from difflab.progress import Bars, silent


class Reading(NamedTuple):
    """What an extractor reads in pictures; every figure is computed from it alone."""

    features: Float32[Tensor, "n d"]
    logits: Float32[Tensor, "n k"] | None = None  # of its classes, where it is a classifier


@runtime_checkable
class Extractor(Protocol):
    """A frozen network as a plain object, not a module: no checkpoint, EMA or optimiser ever sees it."""

    name: str
    """Such as "efficientnet_lite0"."""
    dim: int
    """Features per picture."""
    weights_sha256: str
    """Content hash of the weights file, 64 hexadecimal digits."""
    resize: str
    """The rule that brings pictures to the network's size, such as "bilinear 64x64 antialias=True, grey to RGB"."""
    batch: int
    """Pictures per call that run fastest on a processor."""

    @property
    def names(self) -> Mapping[str, str]:
        """What papers call figures that are counted with it, such as {"fd": "fid"}; the others are `fd_<name>`."""
        ...

    def __call__(self, images: UInt8[Tensor, "b c h w"]) -> Reading:
        """Features of grey (repeated into RGB on purpose) or RGB pictures, and class logits if it has any."""
        ...


def read(
    extractor: Extractor, images: UInt8[Tensor, "n c h w"], bars: Bars = silent, text: str = "features"
) -> Reading:
    """The reading of all pictures, on the processor, `extractor.batch` at a time.

    Raises:
        DifflabError: pictures that are neither grey nor RGB.
    """
    if images.shape[1] not in (1, 3):
        raise DifflabError(
            f"{extractor.name} reads grey (1) or RGB (3) channels, the pictures have {images.shape[1]}: "
            "set data.shape=[3,H,W]"
        )
    parts = [Reading(torch.empty(0, extractor.dim))]
    with bars(text, len(images)) as advance:
        for chunk in images.split(extractor.batch):
            features, logits = extractor(chunk)
            parts.append(Reading(features.cpu(), None if logits is None else logits.cpu()))
            advance(len(chunk))
    return join(parts)


def join(parts: Sequence[Reading]) -> Reading:
    """One reading of several, in their order."""
    logits = [part.logits for part in parts if part.logits is not None]
    return Reading(torch.cat([part.features for part in parts]), torch.cat(logits) if logits else None)
