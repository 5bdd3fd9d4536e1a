"""From uint8 pictures to what a pretrained network was trained on: one rule for the whole batch, in torch."""

from dataclasses import dataclass

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

GREY = "grey to RGB"
"""How every rule ends: grey pictures are repeated into three channels, on purpose."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocess:
    """Resized to `size` x `size` (antialiased where they shrink), then (levels / 255 - mean) / std per channel.

    Args:
        mode: bilinear, or bicubic with Pillow's kernel (a = -0.5).
        square: cut the centre out of pictures that are not square; otherwise they are squeezed.
        rounded: to whole levels 0..255 after the rows and after the columns, as Pillow does.
    """

    size: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    mode: str = "bilinear"
    square: bool = False
    rounded: bool = False

    @property
    def rule(self) -> str:
        """What protocols say of it."""
        cut, rounded = "central square, " if self.square else "", " rounded" if self.rounded else ""
        return f"{cut}{self.mode} {self.size}x{self.size} antialias=True{rounded}, {GREY}"

    def __call__(self, images: UInt8[Tensor, "b c h w"], device: torch.device) -> Float32[Tensor, "b 3 s s"]:
        levels = _central_square(images) if self.square else images
        x = self._resized(levels.to(device).float())
        # Resized while it is still grey: the three means are what repeats one channel into three.
        return (x - _levels(self.mean, x)) / _levels(self.std, x)

    def _resized(self, levels: Float32[Tensor, "b c h w"]) -> Float32[Tensor, "b c s s"]:
        if not self.rounded:
            return interpolate(levels, (self.size, self.size), mode=self.mode, antialias=True)
        for shape in ((levels.shape[-2], self.size), (self.size, self.size)):
            levels = interpolate(levels, shape, mode=self.mode, antialias=True).round().clamp(0, 255)
        return levels


def _levels(share: tuple[float, ...], like: Tensor) -> Float32[Tensor, "3 1 1"]:
    return (255 * like.new_tensor(share)).view(3, 1, 1)


def _central_square(images: UInt8[Tensor, "b c h w"]) -> UInt8[Tensor, "b c s s"]:
    height, width = images.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return images[..., top : top + side, left : left + side]
