"""Filling holes: the pixels that are kept are a measurement of the picture."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from einops import reduce
from jaxtyping import Bool, UInt8
from torch import Tensor

from difflab.errors import DifflabError
from difflab.generation import Generation
from difflab.pixels import to_uint8
from difflab.tasks.base import Edit, Inputs, Picture, Task
from difflab.tasks.measurements import Consistency, KeptPixels


@dataclass(frozen=True)
class Inpaint(Task):
    """The picture with new pixels where the mask is white. Any grid; one that goes up again fits the fill better."""

    needs: ClassVar[Sequence[str]] = ("image", "mask")

    def __call__(self, plain: Generation, given: Inputs) -> Edit:
        assert given.image is not None and given.mask is not None
        if not given.mask.any():
            raise DifflabError("mask: it is black all over, so nothing would be filled; paint white what is to be new")
        if given.mask.all():
            raise DifflabError("mask: it is white all over, so nothing would be kept; `difflab sample` does that")
        beside = {"before": given.image, "mask": as_picture(given.mask, given.image)}
        return Edit(keeping(plain, given.image, ~given.mask), beside)


def keeping(plain: Generation, image: Picture, keep: Bool[Tensor, "h w"]) -> Generation:
    """The generation of pictures that have the pixels of `image` where `keep` is true, bit for bit.

    Of latents those are known whose whole square of pixels is kept.
    """
    cells = image.shape[-1] // plain.shape[-1] if plain.codec is not None else 1
    measure = KeptPixels(reduce(keep.byte(), "(h p) (w q) -> h w", "min", p=cells, q=cells).bool())
    state = plain.encoded(image[None], torch.zeros(()))
    known = Consistency(measure, measure(state))

    def finish(x: Tensor) -> UInt8[Tensor, "b c h w"]:
        return torch.where(keep.to(x.device), image.to(x.device), to_uint8(x))

    return replace(plain, shape=tuple(state.shape[1:]), wrap=known, start=known.start(plain.nodes), finish=finish)


def as_picture(mask: Bool[Tensor, "h w"], like: Picture) -> Picture:
    """The mask in black and white, in as many channels as `like` has."""
    return (mask * 255).to(torch.uint8).expand_as(like)
