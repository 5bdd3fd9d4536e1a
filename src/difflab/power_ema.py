"""Power-function averages of weights (EDM2, Karras et al. 2024, 2312.02696, section 3 and appendix C).

The average at N images gives the weights that the network had at t images the density

    p(t) = (gamma + 1) t^gamma / N^(gamma + 1),    0 <= t <= N                                    (eq. 4)

whose standard deviation is the share sigma_rel of N: its length grows with the run. Two of them, kept now and then,
span one of nearly any other length. Ours count images; a step of several images is the exact integral over them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from difflab.errors import DifflabError

LONGEST = 12**-0.5  # sigma_rel of the plain mean of all weights, gamma = 0


def sigma_rel_of(gamma: float) -> float:
    """The standard deviation of the density, as a share of N (eq. 6)."""
    return math.sqrt((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3)))


def gamma_of(sigma_rel: int | float) -> float:
    """The positive root of (gamma + 2)^2 (gamma + 3) = (gamma + 1) / sigma_rel^2 (algorithm 2).

    Raises DifflabError for a length that no power function has.
    """
    if not 0 < sigma_rel < LONGEST:
        raise DifflabError(
            f"an EMA length of {sigma_rel:g} is none: it is a share of the run above 0 and below {LONGEST:.4f}, that "
            "of the plain mean"
        )
    t = sigma_rel**-2
    return float(np.roots([1, 7, 16 - t, 12 - t]).real.max())


def beta(images: int, nimg: int, gamma: float) -> float:
    """The factor on the average in a step of `images` images that ends at `nimg`: 0 in the first step of all."""
    return float((1 - images / nimg) ** (gamma + 1))


@dataclass(frozen=True)
class Power:
    """The density of the average at `nimg` images."""

    nimg: int
    gamma: float

    def cdf(self, nimg: Float64[Tensor, "*n"]) -> Float64[Tensor, "*n"]:
        """How much of the average is from the first `nimg` images."""
        return (nimg / self.nimg).clamp(max=1) ** (self.gamma + 1)

    def steps(self, ends: Float64[Tensor, " n"]) -> Float64[Tensor, " n"]:
        """What the weights after each step count, of steps that end at `ends` images: the recursion, in closed form."""
        return self.cdf(ends).diff(prepend=torch.zeros(1, dtype=torch.float64))


def inner(a: Sequence[Power], b: Sequence[Power]) -> Float64[Tensor, "a b"]:
    """The integrals of the products of two densities (algorithm 3), as powers of their ratio: nothing overflows."""
    (ta, ga), (tb, gb) = (_columns(a, 1), _columns(b, 0))
    power = torch.where(ta < tb, gb, -ga)
    return (ga + 1) * (gb + 1) / (ga + gb + 1) * (ta / tb) ** power / torch.maximum(ta, tb)


def _columns(profiles: Sequence[Power], dim: int) -> tuple[Tensor, Tensor]:
    both = torch.tensor([[p.nimg, p.gamma] for p in profiles], dtype=torch.float64)
    return both[:, 0].unsqueeze(dim), both[:, 1].unsqueeze(dim)


@dataclass(frozen=True)
class Mix:
    """What to take of each kept average, and |density it has - density wanted| / |density wanted|, of L2 norms."""

    coefficients: Float64[Tensor, " n"]
    mismatch: float


def least_squares(kept: Sequence[Power], wanted: Power) -> Mix:
    """The nearest density that the kept ones span (algorithm 3)."""
    return _mixed(kept, wanted, torch.linalg.solve(inner(kept, kept), inner(kept, [wanted]))[:, 0])


def reconstruction(kept: Sequence[Power], wanted: Power) -> Mix:
    """The nearest one that counts 1 in all.

    EDM2 leaves that open, as its networks do not see the scale of their weights. Ours do: the average of weights that
    do not change has to be those weights.
    """
    both = torch.cat([inner(kept, [wanted]), torch.ones(len(kept), 1, dtype=torch.float64)], dim=1)
    nearest, towards = torch.linalg.solve(inner(kept, kept), both).unbind(1)
    return _mixed(kept, wanted, nearest + (1 - nearest.sum()) / towards.sum() * towards)


def _mixed(kept: Sequence[Power], wanted: Power, c: Float64[Tensor, " n"]) -> Mix:
    whole = inner([wanted], [wanted]).item()
    missed = whole - 2 * (c @ inner(kept, [wanted])[:, 0]) + c @ inner(kept, kept) @ c
    return Mix(c, math.sqrt(max(0.0, missed.item()) / whole))
