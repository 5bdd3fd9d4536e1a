"""Exponential moving averages of weights, counted in images."""

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
