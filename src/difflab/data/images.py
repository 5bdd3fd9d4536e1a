"""A set of pictures in memory: uint8, with labels and captions where there are any."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.nn.functional import interpolate, pad

from difflab.errors import DifflabError

BATCH = 4096  # pictures handled at once, so that a large set never exists as floats


@dataclass(frozen=True)
class Images:
    """n pictures of 0..255. `labels` index `classes`; `classes` is None where the source does not name them."""

    pixels: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, "n"] | None = None
    captions: list[str] | None = None
    classes: list[str] | None = None

    def __post_init__(self) -> None:
        for name, column in (("labels", self.labels), ("captions", self.captions)):
            if column is not None and len(column) != len(self.pixels):
                raise ValueError(f"{len(self.pixels)} pictures but {len(column)} {name}")

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of every picture."""
        _, c, h, w = self.pixels.shape
        return c, h, w

    def select(self, index: Int64[Tensor, "m"]) -> "Images":
        """The pictures at `index`, in that order."""
        labels = None if self.labels is None else self.labels[index]
        captions = None if self.captions is None else [self.captions[i] for i in index.tolist()]
        return replace(self, pixels=self.pixels[index], labels=labels, captions=captions)

    def digest(self) -> str:
        """sha256 of shape, pixels, labels and captions: equal if and only if the content is."""
        digest = hashlib.sha256(repr((tuple(self.pixels.shape), self.labels is None)).encode())
        for column in (self.pixels, self.labels):
            if column is not None:
                digest.update(column.contiguous().numpy().data)
        digest.update(repr(self.captions).encode())
        return digest.hexdigest()


def measure_sigma_data(pixels: UInt8[Tensor, "n c h w"]) -> float:
    """The standard deviation of all pixels of all pictures in [-1, 1] (EDM's sigma_data), exact."""
    counts = sum(torch.bincount(part.flatten(), minlength=256) for part in pixels.split(BATCH))
    share = torch.as_tensor(counts).double() / pixels.numel()
    levels = torch.arange(256, dtype=torch.float64) / 127.5 - 1
    mean = (share * levels).sum()
    return float((share * (levels - mean) ** 2).sum().sqrt())


def fit(pixels: UInt8[Tensor, "n c h w"], shape: Sequence[int], name: str, canvas: int = 0) -> UInt8[Tensor, "n C H W"]:
    """Pictures of data set `name` in the configured (c, h, w).

    Grey becomes RGB by repetition. Pictures are padded with 0 (never enlarged) up to `canvas` pixels a side;
    a smaller shape is reached by padding to the canvas first and averaging areas then (28 -> 32 -> 16).
    Raises DifflabError for anything else: more pixels than there are, another aspect ratio, RGB as grey.
    """
    channels, height, width = shape
    _, c, h, w = pixels.shape
    refusal = DifflabError(
        f"data set {name} has pictures of {c}x{h}x{w}, data.shape asks for {channels}x{height}x{width}: "
        f"set data.shape=[{c},{max(h, canvas)},{max(w, canvas)}] or smaller with the same aspect ratio, "
        "or choose another data set"
    )
    if channels not in (c, 3 * c) or (channels != c and c != 1):
        raise refusal
    if height > max(h, canvas) or width > max(w, canvas) or min(height, width) < 1:
        raise refusal
    if height >= h and width >= w:
        pixels = _pad(pixels, height, width)
    else:
        pixels = _pad(pixels, max(h, canvas), max(w, canvas))
        if pixels.shape[-2] * width != pixels.shape[-1] * height:
            raise refusal
        pixels = average(pixels, height, width)
    return pixels.expand(-1, channels, -1, -1).contiguous()


def _pad(pixels: UInt8[Tensor, "n c h w"], height: int, width: int) -> UInt8[Tensor, "n c H W"]:
    dy, dx = height - pixels.shape[-2], width - pixels.shape[-1]
    return pad(pixels, (dx // 2, dx - dx // 2, dy // 2, dy - dy // 2))


def average(pixels: UInt8[Tensor, "n c h w"], height: int, width: int) -> UInt8[Tensor, "n c H W"]:
    """Of the area that each new pixel covers, rounded."""
    parts = (interpolate(p.float(), (height, width), mode="area") for p in pixels.split(BATCH))
    return torch.cat([p.round().to(torch.uint8) for p in parts])
