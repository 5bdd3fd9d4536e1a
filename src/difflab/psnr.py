"""How near pictures are to others: the peak signal-to-noise ratio, in dB out of 255 levels."""

import math

from jaxtyping import Float64, UInt8
from torch import Tensor


def squared_errors(made: UInt8[Tensor, "n c h w"], wanted: UInt8[Tensor, "n c h w"]) -> Float64[Tensor, " n"]:
    """The mean square of the levels by which each picture is off."""
    return (made.double() - wanted.double()).square().flatten(1).mean(1)


def psnr(mse: float) -> float:
    """10 log10(255^2 / mse); infinite for equal pictures."""
    return 10 * math.log10(255**2 / mse) if mse > 0 else math.inf
