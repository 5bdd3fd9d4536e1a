"""A small convolutional variational autoencoder: the shape of Stable Diffusion's, without its attention."""

import math
from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from difflab.errors import DifflabError
from difflab.latents.base import Autoencoder, Latents
from difflab.nets.attention import zero


class ConvolutionalKL(Autoencoder):
    """Latents of `channels`, each side halved after every multiplier but the first; KL for the divergence it pays.

    Raises DifflabError for pictures of `shape` = (c, h, w) that can't be halved so often.
    """

    def __init__(
        self, shape: Sequence[int], channels: int, width: int, multipliers: Sequence[int | float], blocks: int
    ) -> None:
        super().__init__()
        self.node = {
            "_target_": f"{__name__}.{type(self).__name__}",
            "shape": list(shape), "channels": channels, "width": width, "multipliers": list(multipliers),
            "blocks": blocks,
        }  # fmt: skip
        (c, height, width_px), factor = shape, 2 ** (len(multipliers) - 1)
        if height % factor or width_px % factor:
            raise DifflabError(
                f"an autoencoder of {len(multipliers)} multipliers divides pictures by {factor}, which {height}x"
                f"{width_px} is not a multiple of: take fewer objective.autoencoder.multipliers, or another data.shape"
            )
        widths = [int(width * m) for m in multipliers]
        self.encoder = nn.Sequential(
            nn.Conv2d(c, widths[0], 3, padding=1),
            *residuals(widths[0], blocks),
            *(layer for at, to in pairwise(widths) for layer in (halved(at, to), *residuals(to, blocks))),
            *head(widths[-1], 2 * channels),
        )
        widths.reverse()
        self.decoder = nn.Sequential(
            nn.Conv2d(channels, widths[0], 3, padding=1),
            *residuals(widths[0], blocks),
            *(layer for at, to in pairwise(widths) for layer in (*doubled(at, to), *residuals(to, blocks))),
            *head(widths[-1], c),
        )

    def posterior(self, x: Float[Tensor, "b c h w"]) -> tuple[Latents, Latents]:
        """Mean and log variance of the latents' normal distribution."""
        mean, logvar = self.encoder(x).chunk(2, dim=1)
        return mean, logvar.clamp(-30, 20)

    def encode(self, x: Float[Tensor, "b c h w"]) -> Latents:
        return self.posterior(x)[0]

    def decode(self, z: Latents) -> Float[Tensor, "b c h w"]:
        out: Tensor = self.decoder(z)
        return out


class Residual(nn.Module):
    """Twice norm, SiLU, conv, plus the input; it begins as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        last = zero(nn.Conv2d(width, width, 3, padding=1))
        self.layers = nn.Sequential(*head(width, width), norm(width), nn.SiLU(), last)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        out: Tensor = x + self.layers(x)
        return out


def residuals(width: int, n: int) -> list[nn.Module]:
    return [Residual(width) for _ in range(n)]


def norm(channels: int) -> nn.GroupNorm:
    """In four groups: with each channel in one of its own, less comes back (docs/decisions.md)."""
    return nn.GroupNorm(math.gcd(4, channels), channels)


def head(at: int, to: int) -> list[nn.Module]:
    return [norm(at), nn.SiLU(), nn.Conv2d(at, to, 3, padding=1)]


def halved(at: int, to: int) -> nn.Module:
    return nn.Conv2d(at, to, 3, stride=2, padding=1)


def doubled(at: int, to: int) -> list[nn.Module]:
    return [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(at, to, 3, padding=1)]
