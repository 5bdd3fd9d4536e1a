"""The mean over a step of the polynomial through the last guesses."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor


class Guess(NamedTuple):
    at: Tensor  # the variable in which the guesses are a polynomial, 0-d float64
    value: Tensor


def mean_ahead(past: Sequence[Guess], start: Tensor, end: Tensor, exponential: bool = True, points: int = 16) -> Tensor:
    """Of the polynomial through `past` (newest first) over start..end, weighted by e^v or evenly.

    By Gauss-Legendre quadrature: 1 point is the midpoint rule; 16 are exact to rounding for a cubic on steps up to
    10 in v, where the weight is e^v. Guesses at an infinite place are left out, and a step with an infinite end
    takes the newest guess.
    """
    if not torch.isfinite(end - start):
        return past[0].value
    known = [guess for guess in past if torch.isfinite(guess.at)]
    at = torch.stack([guess.at for guess in known])
    node, weight = _gauss_legendre(points)
    v = start + (end - start) * node
    if exponential:
        weight = weight * (v - v.max()).exp()
    share = _lagrange(at, v) @ (weight / weight.sum())
    return sum((s * guess.value for s, guess in zip(share[1:], known[1:], strict=True)), share[0] * known[0].value)


def _lagrange(at: Float64[Tensor, " k"], v: Float64[Tensor, " q"]) -> Float64[Tensor, "k q"]:
    """Row j is the polynomial that is 1 at at[j] and 0 at the others, at the places v."""
    factors = (v - at[:, None]) / (at[:, None, None] - at[:, None])  # k k q, of which j = j is left out
    return torch.where(torch.eye(len(at), dtype=torch.bool)[..., None], 1.0, factors).prod(1)


@cache
def _gauss_legendre(points: int) -> tuple[Float64[Tensor, " q"], Float64[Tensor, " q"]]:
    """Places and weights on 0..1."""
    node, weight = np.polynomial.legendre.leggauss(points)
    return torch.from_numpy(node + 1) / 2, torch.from_numpy(weight) / 2
