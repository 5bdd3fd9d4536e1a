"""The latents of a data set, computed once for each autoencoder and kept."""

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float32, Float64, Int64
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from difflab.data.images import Images
from difflab.files import cache_dir, replacing
from difflab.latents.base import Autoencoder
from difflab.nets.digest import digest_of_weights
from difflab.pixels import to_model
from difflab.progress import images_bar

VERSION = 1
"""Raised whenever the same pictures and weights would give other latents, so that old files are not read."""

BATCH = 64  # pictures encoded at once
BLOCK = 1024  # pictures whose latents are taken in double precision at once: a copy of all would need the memory thrice

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Encoded:
    """The autoencoder's own latents, those of mirrored pictures last, and the moments of each channel."""

    latents: Float32[Tensor, "n k h w"]
    mean: Float64[Tensor, " k"]
    std: Float64[Tensor, " k"]


@dataclass(frozen=True)
class Stored:
    """Latents that a stream takes in the place of pictures; with `mirrored`, those of mirrored pictures follow."""

    latents: Float32[Tensor, "m k h w"]
    mirrored: bool

    def at(self, index: Int64[Tensor, " b"], flips: Bool[Tensor, " b"]) -> Float32[Tensor, "b k h w"]:
        """Of the pictures at `index`, of those that are flipped the mirrored ones."""
        if not self.mirrored:
            return self.latents[index]
        return self.latents[index + flips * (len(self.latents) // 2)]


def encoded(autoencoder: Autoencoder, images: Images, flips: bool, device: torch.device) -> Encoded:
    """Read from the cache folder, or computed and put there.

    A file that is damaged is computed again; one that cannot be written is not an error.
    """
    path = cache_path(autoencoder, images, flips)
    found = _read(path)
    if found is None:
        found = _computed(autoencoder.to(device), images, flips, device)
        _write(path, found)
    return found


def cache_path(autoencoder: Autoencoder, images: Images, flips: bool) -> Path:
    """The name holds a hash of everything that the latents depend on."""
    key = {
        "version": VERSION,
        "autoencoder": autoencoder.node,
        "weights": digest_of_weights(autoencoder),
        "data": Images(images.pixels).digest(),  # whatever their captions and labels say
        "flips": flips,
    }
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return cache_dir() / "latents" / f"{name[:32]}.safetensors"


@torch.no_grad()
def _computed(autoencoder: Autoencoder, images: Images, flips: bool, device: torch.device) -> Encoded:
    autoencoder.eval()
    total, at, latents = len(images) * (1 + flips), 0, torch.empty(0)
    with images_bar("latents", total) as advance:
        for mirrored in (False, True)[: 1 + flips]:
            for pixels in images.pixels.split(BATCH):
                z = autoencoder.encode(to_model((pixels.flip(-1) if mirrored else pixels).to(device)))
                if at == 0:
                    latents = torch.empty(total, *z.shape[1:])
                latents[at : at + len(z)] = z
                at += len(z)
                advance(len(pixels))
    return Encoded(latents, *moments(latents))


def moments(latents: Float32[Tensor, "n k h w"]) -> tuple[Float64[Tensor, " k"], Float64[Tensor, " k"]]:
    """Mean and standard deviation of each channel."""
    n, blocks = latents[:, 0].numel(), latents.split(BLOCK)
    mean = torch.stack([block.sum((0, 2, 3), dtype=torch.float64) for block in blocks]).sum(0) / n
    squares = [(block - mean[:, None, None]).square().sum((0, 2, 3)) for block in blocks]
    return mean, (torch.stack(squares).sum(0) / n).sqrt()


def _read(path: Path) -> Encoded | None:
    if not path.exists():
        return None
    try:
        return Encoded(**load_file(path))
    except (OSError, SafetensorError, TypeError) as error:
        log.warning("latents %s are damaged (%s): computed again", path, error)
        return None


def _write(path: Path, found: Encoded) -> None:
    try:
        with replacing(path) as temporary:
            save_file({"latents": found.latents, "mean": found.mean, "std": found.std}, temporary)
    except (OSError, SafetensorError) as error:
        log.warning("latents %s cannot be written (%s): the next run computes them again", path, error)
