"""One picture of any kind to the bytes of a training picture."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageColor, ImageOps
from torch import Tensor

from difflab.errors import DifflabError

Resize = Literal["crop", "pad", "squash"]
# What Pillow raises for files that are not whole or not pictures.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)

BICUBIC = Image.Resampling.BICUBIC  # averages over all source pixels when it shrinks


class Decoder:
    """PIL picture -> uint8 [c, h, w].

    shape: (c, h, w); c is 1 (grey) or 3 (RGB).
    resize: what becomes of another aspect ratio: `crop` fills the frame and cuts what sticks out, `pad` shows the
    whole picture on the background, `squash` distorts it.
    background: colour behind transparency and padding, such as white or #202020.
    Raises DifflabError for a setting it does not know; a call raises one of BROKEN for a picture it can't use.
    """

    def __init__(self, shape: Sequence[int], resize: str = "crop", background: str = "white") -> None:
        self.channels, self.height, self.width = shape
        if self.channels not in (1, 3):
            raise DifflabError(f"data.shape asks for {self.channels} channels: pictures have 1 (grey) or 3 (RGB)")
        if resize not in ("crop", "pad", "squash"):
            raise DifflabError(f"resize={resize} is not a way to fit a picture: use crop, pad or squash")
        try:
            self.background = ImageColor.getrgb(background)[:3]
        except ValueError:
            raise DifflabError(f"background={background} is not a colour: use a name or #rrggbb") from None
        self.resize = resize

    def __call__(self, picture: Image.Image) -> UInt8[Tensor, "c h w"]:
        picture = ImageOps.exif_transpose(picture)  # the way up that the camera noted
        picture = self._flatten(_eight_bit(picture))
        picture = self._fit(picture)
        # Grey comes last: the background may be a colour.
        array = np.array(picture.convert("L" if self.channels == 1 else "RGB"))
        return torch.from_numpy(array.reshape(self.height, self.width, self.channels)).permute(2, 0, 1)

    def _flatten(self, picture: Image.Image) -> Image.Image:
        """RGB without transparency."""
        if not picture.has_transparency_data:
            return picture.convert("RGB")
        picture = picture.convert("RGBA")
        behind = Image.new("RGBA", picture.size, (*self.background, 255))
        return Image.alpha_composite(behind, picture).convert("RGB")

    def _fit(self, picture: Image.Image) -> Image.Image:
        size = (self.width, self.height)
        if self.resize == "crop":
            return ImageOps.fit(picture, size, BICUBIC)
        if self.resize == "pad":
            return ImageOps.pad(picture, size, BICUBIC, color=self.background)
        return picture.resize(size, BICUBIC)


def _eight_bit(picture: Image.Image) -> Image.Image:
    """16-bit grey to 8 bits; Pillow's own conversion would clip everything above 255 to white."""
    if picture.mode.startswith("I"):
        levels = np.asarray(picture).astype(np.float64)
        return Image.fromarray((levels / 257).round().clip(0, 255).astype(np.uint8))
    if picture.mode == "F":
        raise ValueError("floating-point pixels without a known range")
    return picture
