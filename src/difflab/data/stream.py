"""The endless stream of training batches: what it yields is a pure function of (seed, images seen).

Position p of the stream is picture `order(seed, p // n)[p % n]`: every epoch shows each picture once, in its own
order, and batches run across the ends of epochs. So a resumed run needs no state but its `nimg`.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from difflab.data import tags
from difflab.data.images import Images
from difflab.pixels import to_model
from difflab.rng import generator


class Stream:
    """Endless batches for one rank, from position `start_nimg` on.

    Rank r of `world` takes positions nimg + r*batch_size .. of a step that moves nimg by batch_size*world.
    A batch is as `as_batch` makes it, with `nimg`, the position of rank 0's first image of the step. Each tag of a
    caption is left out with a chance of `tag_dropout`, anew at each position.
    """

    def __init__(
        self,
        images: Images,
        batch_size: int,
        seed: int,
        flip: bool = False,
        start_nimg: int = 0,
        rank: int = 0,
        world: int = 1,
        tag_dropout: float = 0.0,
    ) -> None:
        self.images = images
        self.batch_size = batch_size
        self.seed = seed
        self.flip = flip
        self.start_nimg = start_nimg
        self.rank = rank
        self.world = world
        self.tag_dropout = tag_dropout
        # A batch touches two neighbouring epochs; each costs O(n) to draw.
        self._epoch = lru_cache(maxsize=2)(self._draw_epoch)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        nimg = self.start_nimg
        while True:
            yield self.batch(nimg)
            nimg += self.batch_size * self.world

    def batch(self, nimg: int) -> dict[str, Any]:
        """This rank's batch of the step that begins at position `nimg`."""
        first = nimg + self.rank * self.batch_size
        index, flips = self._at(first, first + self.batch_size)
        images = self.images.select(index)
        if self.flip:
            pixels = torch.where(flips[:, None, None, None], images.pixels.flip(-1), images.pixels)
            images = replace(images, pixels=pixels)
        return as_batch(self._thinned(images, first)) | {"nimg": nimg}

    def _thinned(self, images: Images, first: int) -> Images:
        """The pictures of the positions from `first` on, without some of their captions' tags."""
        if images.captions is None or not self.tag_dropout:
            return images
        own = (tags.thinned(c, self.tag_dropout, self.seed, first + i) for i, c in enumerate(images.captions))
        return replace(images, captions=list(own))

    def _at(self, first: int, last: int) -> tuple[Int64[Tensor, "b"], Bool[Tensor, "b"]]:
        """Which picture is at each position first..last-1, and whether it is mirrored there."""
        n = len(self.images)
        orders, flips = [], []
        for epoch in range(first // n, (last - 1) // n + 1):
            order, flip = self._epoch(epoch)
            here = slice(max(first - epoch * n, 0), last - epoch * n)
            orders.append(order[here])
            flips.append(flip[here])
        return torch.cat(orders), torch.cat(flips)

    def _draw_epoch(self, epoch: int) -> tuple[Int64[Tensor, "n"], Bool[Tensor, "n"]]:
        n = len(self.images)
        order = torch.randperm(n, generator=generator(self.seed, "order", epoch))
        flips = torch.rand(n, generator=generator(self.seed, "flip", epoch)) < 0.5
        return order, flips


def as_batch(images: Images) -> dict[str, Any]:
    """`x0` float32 [b, c, h, w] in [-1, 1]; `label` int64 [b] and `caption` (b strings) where there are any."""
    batch: dict[str, Any] = {"x0": to_model(images.pixels)}
    if images.labels is not None:
        batch["label"] = images.labels
    if images.captions is not None:
        batch["caption"] = images.captions
    return batch
