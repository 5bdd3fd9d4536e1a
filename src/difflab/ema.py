"""Exponential moving averages of weights, counted in images."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor


def decay(images: int, nimg: int, halflife: int | float, rampup: float | None) -> float:
    """The factor on the average after a step of `images` images, at `nimg` images seen.

    After the half-life in force half of the average is new.
    """
    return 0.5 ** (images / max(in_force(nimg, halflife, rampup), 1e-8))


def in_force(nimg: int, halflife: int | float, rampup: float | None) -> float:
    """The half-life at `nimg` images seen: `rampup` keeps it below that share of `nimg`.

    So a young average forgets its random start (EDM, 2206.00364, appendix F.2).
    """
    return float(halflife if rampup is None else min(halflife, rampup * nimg))


def length(nimg: int, halflife: int | float, rampup: float | None) -> float:
    """The standard deviation, as a share of nimg, of the density that the average at `nimg` images gives to earlier
    weights.

    So it compares with the sigma_rel of a power function, which it is (gamma + 1 = ln 2 / rampup) as long as the
    ramp-up lasts.
    """
    t = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    full = min(1.0, halflife / nimg / rampup) if rampup is not None else 0.0  # from here on the half-life is whole
    older = torch.exp2(-(1 - t.clamp(min=full)) * nimg / halflife)
    if rampup is not None:
        older *= (t.clamp(max=full) / full) ** (math.log(2) / rampup)
    mean, square = older.mean(), (2 * (1 - t) * older).mean()  # of the age, from its survival function
    return math.sqrt(square - mean**2)


class Ema:
    """A float32 copy of parameters that follows them."""

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self.average = [p.detach().float().clone() for p in parameters]

    @torch.no_grad()
    def update(self, parameters: Iterable[Tensor], beta: float) -> None:
        """average <- beta average + (1 - beta) parameters, in one fused call."""
        torch._foreach_lerp_(self.average, [p.detach().float() for p in parameters], 1 - beta)

    @torch.no_grad()
    def distance(self, parameters: Iterable[Tensor]) -> float:
        """|average - parameters| / |parameters|, all of them as one vector."""
        live = [p.detach().float() for p in parameters]
        apart = torch._foreach_norm(torch._foreach_sub(self.average, live))
        return (torch.stack(apart).norm() / torch.stack(torch._foreach_norm(live)).norm()).item()

    @torch.no_grad()
    def swap(self, parameters: Iterable[Tensor]) -> None:
        """Exchange the average with the live parameters; a second call puts them back."""
        for average, p in zip(self.average, parameters, strict=True):
            live = p.detach().float().clone()
            p.copy_(average)
            average.copy_(live)
