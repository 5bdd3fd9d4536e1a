"""The Frechet distance of infinitely many samples, extrapolated from the distances of all, halves and quarters of them.

Chong & Forsyth 2020, Effectively unbiased FID (https://arxiv.org/abs/1911.07023), section 3: the bias of n samples is
b/n at first. They draw a straight line; the next term c/n^2 counts as well where n is not far above the features.
"""

from dataclasses import dataclass

import torch

from difflab import rng
from difflab.metrics.extractor import Reading
from difflab.metrics.frechet import Estimate, estimate
from difflab.metrics.gaussian import Gaussian
from difflab.metrics.measure import LeftOut, Value
from difflab.metrics.reference import Reference

WEIGHTS = {1: 8 / 3, 2: -2.0, 4: 1 / 3}
"""The value at 1/n = 0 of a + b/n + c/n^2 through n, n/2 and n/4."""
LEAST, ENOUGH = 2, 4
"""Samples a feature. Measured on Gaussians of flat to steep spectra, extrapolation is off by so much of the bias of n:
the parabola 5 to 18 % with 2 and at most 11 % with 4, where the error is larger; a line through n and n/2 11 to 25 %
and 8 to 11 %; a line through all three 19 to 37 % and 10 to 31 %."""


@dataclass(frozen=True)
class FrechetInfinity:
    """fd_infinity: the parabola in 1/n through the distances of n, n/2 (mean of 2) and n/4 (mean of 4), at 1/n = 0.

    Halves and quarters are seeded and disjoint. The error is of the samples' influence on the whole, not of the fit.
    """

    def __call__(self, made: Reading, real: Reference, seed: int) -> list[Value]:
        n, d = made.features.shape
        if n < LEAST * d:
            raise LeftOut("fd_infinity", f"{n} samples of {d} features give no line to extrapolate: set n={ENOUGH * d}")
        order = torch.randperm(n, generator=rng.generator(seed, "fd_infinity"))
        found = extrapolated(real.gaussian, made.features[order])
        few = f"n={n} is below {ENOUGH} times the {d} features, so up to a fifth too much bias is taken off"
        return [Value("fd_infinity", found.value, found.error, {"warning": few} if n < ENOUGH * d else {})]


def extrapolated(p: Gaussian, features: torch.Tensor) -> Estimate:
    """The distance at infinity and each sample's influence on it; it may be below 0."""
    value, influence = 0.0, torch.zeros(len(features), dtype=torch.float64)
    for parts, weight in WEIGHTS.items():
        found = [estimate(p, part) for part in features.tensor_split(parts)]
        value += weight * sum(one.value for one in found) / parts
        influence += weight * torch.cat([one.influence for one in found])
    return Estimate(value, influence)
