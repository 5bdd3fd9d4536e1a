"""Randomness as a function of names: a generator is found from (seed, what it is for, where we are).

Nothing here has a state that a checkpoint would have to keep.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor


def fold(seed: int, *keys: str | int) -> int:
    """A 63-bit seed that depends on `seed` and every key, in order; any change of one changes all bits."""
    digest = hashlib.blake2b(repr((seed, *keys)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, *keys: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """The generator of one purpose at one place, such as `generator(seed, "noise", nimg, rank)`."""
    return torch.Generator(device).manual_seed(fold(seed, *keys))


@contextmanager
def first_weights(seed: int) -> Iterator[None]:
    """Within, torch's own random numbers are a function of the seed; afterwards they are as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(fold(seed, "weights"))
        yield


class SampleNoise:
    """Standard normal noise whose row i depends on (seed, indices[i]) alone, never on the batch it is in.

    Drawn on the processor in float32, so that a sample is the same picture on every device.
    """

    def __init__(self, seed: int, indices: Sequence[int]) -> None:
        self.indices = indices
        self._generators = [generator(seed, "sample", index) for index in indices]

    def __call__(self, like: Float[Tensor, "b *shape"]) -> Float[Tensor, "b *shape"]:
        """Fresh noise of the shape, device and dtype of `like`; row i advances stream i."""
        if len(like) != len(self._generators):
            raise ValueError(f"noise for {len(self._generators)} samples was asked for {len(like)}")
        rows = [torch.randn(like.shape[1:], generator=g) for g in self._generators]
        return torch.stack(rows).to(like)
