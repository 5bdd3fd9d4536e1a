"""Which pictures are held out: decided for each by a hash of its name, so that others come and go without effect."""

from collections.abc import Sequence

import torch

from difflab.data.images import Images
from difflab.errors import DifflabError
from difflab.rng import fold


def split_by_name(
    images: Images, names: Sequence[str], fraction: float, seed: int, source: str
) -> tuple[Images, Images]:
    """(train, val) of one set: about `fraction` of the pictures are val, at least one.

    source: what the pictures are, for messages. DifflabError when it has too few for two splits.
    """
    if not 0 < fraction < 1:
        raise DifflabError(f"val_fraction={fraction} of {source} must lie between 0 and 1")
    if len(images) < 2:
        raise DifflabError(f"{source} has {len(images)} picture(s): two splits need at least 2")
    ranks = torch.tensor([fold(seed, "val", name) / 2**63 for name in names], dtype=torch.float64)
    held_out = ranks < fraction
    held_out[ranks.argmin()] = True
    held_out[ranks.argmax()] = False
    return images.select((~held_out).nonzero()[:, 0]), images.select(held_out.nonzero()[:, 0])
