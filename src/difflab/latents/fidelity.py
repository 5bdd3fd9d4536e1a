"""How well an autoencoder gives pictures back: decibels, and pictures to look at."""

import math

import torch
from jaxtyping import UInt8
from torch import Tensor

from difflab.data.images import Images
from difflab.latents.base import Autoencoder
from difflab.latents.cache import BATCH
from difflab.metrics.protocol import Entry, Figure
from difflab.pixels import to_model, to_uint8
from difflab.psnr import psnr, squared_errors


@torch.no_grad()
def reconstructed(autoencoder: Autoencoder, pixels: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h w"]:
    """Pictures to latents and back, where the autoencoder is."""
    device = next(autoencoder.parameters()).device
    parts = (autoencoder.decode(autoencoder.encode(to_model(part.to(device)))) for part in pixels.split(BATCH))
    return torch.cat([to_uint8(part).cpu() for part in parts])


def reconstruction_psnr(autoencoder: Autoencoder, images: Images, name: str, nimg: int) -> Figure:
    """The peak signal-to-noise ratio in dB, of all pixels of all pictures.

    The error is the standard error over the pictures, to first order.
    """
    back = reconstructed(autoencoder, images.pixels)
    errors = squared_errors(back, images.pixels)
    mse = errors.mean().item()
    error = 10 / math.log(10) * errors.std().item() / math.sqrt(len(errors)) / mse if mse > 0 else None
    protocol: dict[str, Entry] = {"n": len(images), "pictures": name, "pictures_digest": images.digest()}
    return Figure("reconstruction_psnr", psnr(mse), error, protocol | {"weights": "raw", "nimg": nimg})
