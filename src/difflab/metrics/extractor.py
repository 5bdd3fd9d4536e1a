"""What turns pictures into features, and the one pass that does it."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from difflab.errors import DifflabError
from difflab.progress import Bars, silent


@runtime_checkable
class Extractor(Protocol):
    """A frozen network as a plain object, not a module: no checkpoint, EMA or optimiser ever sees it."""

    name: str
    """Such as "efficientnet_lite0"."""
    prefix: str
    """The name of its Frechet distance: "fid" for the paper's Inception only, "fd_<name>" for any other."""
    dim: int
    """Features per picture."""
    weights_sha256: str
    """Content hash of the weights file, 64 hexadecimal digits."""
    resize: str
    """The rule that brings pictures to the network's size, such as "bilinear 64x64 antialias=True"."""
    batch: int
    """Pictures per call that run fastest on a processor."""

    def __call__(self, images: UInt8[Tensor, "b c h w"]) -> Float32[Tensor, "b d"]:
        """Features of grey (repeated into RGB on purpose) or RGB pictures."""
        ...


def features(
    extractor: Extractor, images: UInt8[Tensor, "n c h w"], bars: Bars = silent, text: str = "features"
) -> Float32[Tensor, "n d"]:
    """Features of all pictures, on the processor, computed `extractor.batch` at a time.

    Raises:
        DifflabError: pictures that are neither grey nor RGB.
    """
    if images.shape[1] not in (1, 3):
        raise DifflabError(
            f"{extractor.name} reads grey (1) or RGB (3) channels, the pictures have {images.shape[1]}: "
            "set data.shape=[3,H,W]"
        )
    rows = [torch.empty(0, extractor.dim)]
    with bars(text, len(images)) as advance:
        for chunk in images.split(extractor.batch):
            rows.append(extractor(chunk).cpu())
            advance(len(chunk))
    return torch.cat(rows)
