"""The Frechet distance between two Gaussians, by one formula that is exact for any number of samples.

Dowson & Landau 1982; as a figure of samples: Heusel et al. 2017 (https://arxiv.org/abs/1706.08500), eq. 6.
"""

from dataclasses import dataclass

import torch

from difflab.metrics.extractor import Reading
from difflab.metrics.gaussian import Gaussian
from difflab.metrics.measure import Value
from difflab.metrics.reference import Reference


@dataclass(frozen=True)
class FrechetDistance:
    """fd: between the Gaussians of the samples' features and of the reference's."""

    def __call__(self, made: Reading, real: Reference, seed: int) -> list[Value]:
        n, d = made.features.shape
        bias = f"n={n} is below the {d} features, so the distance is far too high: compare at equal n only"
        value = distance(real.gaussian, Gaussian.of_features(made.features))
        return [Value("fd", value, None, {"warning": bias} if n < d else {})]


def distance(p: Gaussian, q: Gaussian) -> float:
    """Squared Frechet (2-Wasserstein) distance |m1 - m2|^2 + tr C1 + tr C2 - 2 tr sqrt(C1 C2), at least 0.

    With C1 = A'A and C2 = B'B the last trace is the nuclear norm of AB': singular values, neither a matrix
    square root nor complex eigenvalues. With the centred features of n < d samples as A it costs n x n.
    """
    cross = torch.linalg.svdvals(p.root @ q.root.T).sum()
    spread = p.root.square().sum() + q.root.square().sum() - 2 * cross
    return max(0.0, ((p.mean - q.mean).square().sum() + spread).item())
