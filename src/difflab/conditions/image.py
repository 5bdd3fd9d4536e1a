"""Low-resolution pictures: the picture itself in fewer pixels, to be made whole again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from difflab.conditions.base import Condition, Given, Told
from difflab.data.images import average
from difflab.errors import DifflabError
from difflab.picture_files import PictureFile
from difflab.pixels import to_model, to_uint8
from difflab.psnr import psnr, squared_errors


class LowResolution(Condition):
    """The picture averaged over `factor` x `factor` squares, enlarged without blur, beside the noisy one.

    SR3 (2104.07636, section 2.3), or one stage of cascaded diffusion (2106.15282). The averages are rounded to 0..255:
    they are the pictures that the same data has at the smaller data.shape, such as a smaller run samples. A null row
    is told a picture of zeros; that there is one is told as a vector of one number, 1 or 0.

    Raises DifflabError for a factor that does not divide `shape` = (c, h, w).
    """

    asked_by = "image"

    def __init__(self, shape: Sequence[int], factor: int, told: Mapping[str, int], dropout: int | float) -> None:
        super().__init__(told, dropout)
        self.channels, self.height, self.width = shape
        if factor < 2 or self.height % factor or self.width % factor:
            raise DifflabError(
                f"condition.factor={factor} does not divide pictures of {self.width}x{self.height} into smaller ones: "
                "take 2 or 4, or another data.shape"
            )
        if (self.widths.channels, self.widths.vector) != (self.channels, 1):
            raise DifflabError(
                f"condition.told={dict(told)}: a low-resolution picture is told as channels: {self.channels}, those of "
                "data.shape, and vector: 1"
            )
        self.factor = factor
        self.low = (self.height // factor, self.width // factor)

    def of_batch(self, batch: Mapping[str, Any]) -> Given:
        return self._given(average(to_uint8(batch["x0"]), *self.low))

    def ask(self, words: Sequence[str]) -> Given:
        """Pictures by their paths, of the low resolution, or of the full one and averaged here."""
        low = torch.stack([self._read(word) if word else torch.zeros(self._low_shape).byte() for word in words])
        return Given(low, torch.tensor([not word for word in words]), [Path(word).name for word in words])

    def null(self, n: int) -> Given:
        return Given(torch.zeros(n, *self._low_shape).byte(), torch.ones(n, dtype=torch.bool), [""] * n)

    def forward(self, given: Given) -> Told:
        there = (~given.null).float()
        return Told(vector=there[:, None], picture=to_model(self._enlarged(given.values)) * there[:, None, None, None])

    def beside(self, given: Given, made: UInt8[Tensor, "b c h w"]) -> UInt8[Tensor, "b c h _w"]:
        return torch.cat([self._enlarged(given.values), made], dim=-1)

    def kept(self, given: Given, made: UInt8[Tensor, "b c h w"]) -> dict[str, float]:
        """Peak signal-to-noise ratio, dB out of 255, of the pictures' own low resolution: infinite if it is the given.

        Over all pixels of the rows that have a condition.
        """
        if given.null.all():
            return {}
        errors = squared_errors(average(made, *self.low), given.values)[~given.null]
        return {"low_resolution_psnr": psnr(errors.mean().item())}

    @property
    def _low_shape(self) -> tuple[int, int, int]:
        return self.channels, *self.low

    def _enlarged(self, low: UInt8[Tensor, "b c _h _w"]) -> UInt8[Tensor, "b c h w"]:
        return low.repeat_interleave(self.factor, -1).repeat_interleave(self.factor, -2)

    def _given(self, low: UInt8[Tensor, "b c h w"]) -> Given:
        there = torch.zeros(len(low), dtype=torch.bool, device=low.device)
        return Given(low, there, [f"{self.low[1]}x{self.low[0]}"] * len(low))

    def _read(self, name: str) -> UInt8[Tensor, "c h w"]:
        file = PictureFile("image", name)
        width, height = file.opened().size
        if (height, width) not in (self.low, (self.height, self.width)):
            raise DifflabError(
                f"{file.said} is {width}x{height} pixels: this run takes {self.low[1]}x{self.low[0]}, or "
                f"{self.width}x{self.height} to be averaged; name another picture"
            )
        pixels = file.read((self.channels, height, width), None, convert=True)
        return pixels if (height, width) == self.low else average(pixels[None], *self.low)[0]
