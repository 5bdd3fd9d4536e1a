"""The idx format of MNIST and its likes, plain or gzipped."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from difflab.errors import DifflabError

UBYTE = 8  # the format's code for unsigned bytes


def find_idx(folder: Path, name: str) -> Path | None:
    """`name` or `name`.gz in `folder`, None if neither is there."""
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


def read_idx(path: Path) -> UInt8[Tensor, "..."]:
    """The array of bytes in one file; DifflabError when the file is not a whole idx file of bytes."""
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        raise DifflabError(f"idx file {path} can't be read ({error}): fetch it again") from None
    if len(data) < 4 or data[:3] != bytes((0, 0, UBYTE)):
        raise DifflabError(f"{path} is not an idx file of bytes: fetch it again, or choose another data.root")
    rank = data[3]
    shape = [int(n) for n in np.frombuffer(data, ">u4", count=min(rank, (len(data) - 4) // 4), offset=4)]
    start = 4 + 4 * rank
    if len(shape) < rank or len(data) - start != math.prod(shape):
        raise DifflabError(f"idx file {path} is cut off: {len(data):,} bytes for an array of {shape}: fetch it again")
    return torch.frombuffer(bytearray(data), dtype=torch.uint8, offset=start).reshape(shape)
