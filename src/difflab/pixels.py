"""The one place where pictures change form: uint8 <-> [-1, 1], and uint8 -> files."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor


def to_model(images: UInt8[Tensor, "*b c h w"]) -> Float[Tensor, "*b c h w"]:
    """uint8 levels 0..255 to float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def to_uint8(x: Float[Tensor, "*b c h w"]) -> UInt8[Tensor, "*b c h w"]:
    """Model values to uint8 levels, clamped and rounded (truncation would darken every picture by half a level)."""
    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def to_rgb(images: UInt8[Tensor, "b c h w"]) -> UInt8[Tensor, "b 3 h w"]:
    """Grey pictures repeated into three channels; three channels pass through."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def grid(images: UInt8[Tensor, "n c h w"], columns: int | None = None, scale: int = 1) -> UInt8[Tensor, "c H W"]:
    """Pictures side by side, row by row, each enlarged `scale` times without blur."""
    n, *_ = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    blank = images.new_full((rows * columns - n, *images.shape[1:]), 255)
    cells = torch.cat([images, blank]).repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    return rearrange(cells, "(r k) c h w -> c (r h) (k w)", r=rows)


def to_pil(image: UInt8[Tensor, "c h w"]) -> Image.Image:
    """One picture of one (grey) or three (RGB) channels as a PIL image."""
    array = image.cpu().numpy()
    return Image.fromarray(array[0] if len(array) == 1 else array.transpose(1, 2, 0))


def save_png(path: Path, image: UInt8[Tensor, "c h w"]) -> None:
    """Write one picture, lossless."""
    path.parent.mkdir(parents=True, exist_ok=True)
    to_pil(image).save(path, optimize=False)


def save_gif(path: Path, frames: Sequence[UInt8[Tensor, "c h w"]], ms: int = 80, hold_ms: int = 1500) -> None:
    """Write a film that loops; the last frame stays for `hold_ms`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = [to_pil(f) for f in frames]
    durations = [ms] * len(rest) + [hold_ms]
    first.save(path, save_all=True, append_images=rest, duration=durations, loop=0)
