"""Samples made by all ranks, each its share: every rank ends with all of them, and none waits for another's work.

Rank r makes the samples r, r + world, ...; all make equally many, so the last few may be made for nothing.
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from difflab.generation import Generation
from difflab.metrics.extractor import Extractor, Reading, join, read
from difflab.progress import images_bar, silent
from difflab.scoring.sources import cut


def shared_reading(
    module: Any, generation: Generation, extractor: Extractor, n: int, seed: int, batch: int, label: str
) -> Reading:
    """The reading of the samples 0..n-1 of `seed`, in their order, equal on all ranks."""
    features, logits = join([read(extractor, own) for own in _own(module, generation, n, seed, batch, label)])
    return Reading(_gathered(module, features, n), None if logits is None else _gathered(module, logits, n))


def shared_pictures(
    module: Any, generation: Generation, n: int, seed: int, batch: int, label: str
) -> UInt8[Tensor, "n c h w"]:
    """The samples 0..n-1 of `seed`, in their order, equal on all ranks."""
    return _gathered(module, torch.cat(list(_own(module, generation, n, seed, batch, label))), n)


def _own(
    module: Any, generation: Generation, n: int, seed: int, batch: int, label: str
) -> Iterator[UInt8[Tensor, "b c h w"]]:
    """This rank's share, `batch` at a time."""
    rank, world = module.trainer.global_rank, module.trainer.world_size
    mine = range(rank, -(-n // world) * world, world)
    with (images_bar if rank == 0 else silent)(label, len(mine)) as advance:
        for indices in cut(mine, batch):
            yield generation.batch(module.denoiser, seed, indices, module.device)
            advance(len(indices))


def _gathered(module: Any, rows: Tensor, n: int) -> Tensor:
    """The first `n` rows of all ranks, taking turns."""
    if module.trainer.world_size == 1:
        return rows
    everybody: Tensor = module.all_gather(rows.to(module.device)).cpu()  # world, rows, ...
    return torch.cat(everybody.unbind(1))[:n]
