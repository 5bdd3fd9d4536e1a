"""Samples made and read by all ranks, each its share: every rank ends with the whole reading, none waits for one."""

from typing import Any

import torch
from torch import Tensor

from difflab.generation import Generation
from difflab.metrics.extractor import Extractor, Reading, join, read
from difflab.progress import images_bar, silent
from difflab.sources import cut


def shared_reading(
    module: Any, generation: Generation, extractor: Extractor, n: int, seed: int, batch: int, label: str
) -> Reading:
    """The reading of the samples 0..n-1 of `seed`, in their order, equal on all ranks.

    Rank r makes the samples r, r + world, ...; all make equally many, so the last few may be made for nothing.
    """
    rank, world = module.trainer.global_rank, module.trainer.world_size
    mine = range(rank, -(-n // world) * world, world)
    parts = []
    with (images_bar if rank == 0 else silent)(label, len(mine)) as advance:
        for indices in cut(mine, batch):
            parts.append(read(extractor, generation.batch(module.denoiser, seed, indices, module.device)))
            advance(len(indices))
    features, logits = join(parts)
    return Reading(_gathered(module, features)[:n], None if logits is None else _gathered(module, logits)[:n])


def _gathered(module: Any, rows: Tensor) -> Tensor:
    """The rows of all ranks, taking turns."""
    if module.trainer.world_size == 1:
        return rows
    everybody: Tensor = module.all_gather(rows.to(module.device)).cpu()  # world, rows, columns
    return torch.cat(everybody.unbind(1))
