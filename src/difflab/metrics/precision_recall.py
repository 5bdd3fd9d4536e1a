"""Precision and recall: the share of either side that lies inside the other's manifold.

Kynkaanniemi et al. 2019 (https://arxiv.org/abs/1904.06991), eq. 1 and 2: the manifold of a set is the union of balls
around its pictures, each as wide as the distance to the k-th nearest other one.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from difflab import rng
from difflab.metrics.extractor import Reading
from difflab.metrics.manifold import Sides, nearest_others, squared_distances
from difflab.metrics.measure import Value
from difflab.metrics.reference import Reference

NAME = "precision_recall"
SPLITS = 20
"""Into halves, for the error of recall; it is known to a fifth then."""


@dataclass(frozen=True)
class PrecisionRecall:
    """precision and recall, from at most `pictures` draws a side.

    The errors: precision is a share of independent samples. Recall is not, since a sample moves its neighbours' balls;
    two halves of the samples differ by twice the error of all, on average over seeded halvings. That holds if
    balls twice as heavy see the same (measured: 0.85 to 0.95 of the true error).
    """

    k: int = 3
    pictures: int = 5000

    def __call__(self, made: Reading, real: Reference, seed: int) -> list[Value]:
        sides = Sides(NAME, made, real, self.pictures, self.k, seed)
        n = len(sides.made)
        of_real = nearest_others(sides.real, self.k)[0][:, -1] + sides.slack
        halves = _halves(n, rng.generator(seed, NAME))
        radii = _radii(sides.made, self.k, halves) + sides.slack
        precise, covered = _inside(sides, of_real, radii, halves)
        precision, recall = precise.double().mean().item(), covered.double().mean(-1)
        apart = recall[1:, 0] - recall[1:, 1]
        return [
            Value("precision", precision, _of_a_share(precision, n), sides.details),
            Value("recall", recall[0, 0].item(), (apart.square().mean() / 4).sqrt().item(), sides.details),
        ]


def _of_a_share(share: float, n: int) -> float:
    """The standard error of a share of n, by Laplace's rule: 0 of n leaves a doubt."""
    p = (share * n + 1) / (n + 2)
    return float((p * (1 - p) / (n + 3)) ** 0.5)


def _halves(n: int, generator: torch.Generator) -> Bool[Tensor, "s n"]:
    """Every sample on one side, then SPLITS seeded halvings."""
    drawn = [torch.randperm(n, generator=generator) < n // 2 for _ in range(SPLITS)]
    return torch.stack([torch.ones(n, dtype=torch.bool), *drawn])


def _radii(x: Float64[Tensor, "n d"], k: int, halves: Bool[Tensor, "s n"]) -> Float64[Tensor, "s n"]:
    """Squared distances to the k-th nearest other of the same half.

    Looked for among the nearest 8 k: fewer than k of them are of one's half once in 50,000 times.
    """
    distances, others = nearest_others(x, min(8 * k, len(x) - 1))
    counts = (halves[:, others] == halves[:, :, None]).cumsum(-1)
    at = (counts < k).sum(-1).clamp(max=distances.shape[1] - 1)
    return distances.gather(1, at.mT).mT


def _inside(
    sides: Sides, of_real: Float64[Tensor, "m"], of_made: Float64[Tensor, "s n"], halves: Bool[Tensor, "s n"]
) -> tuple[Bool[Tensor, "n"], Bool[Tensor, "s 2 m"]]:
    """Which samples are in a ball of the reference; which reference pictures are in one of either half's samples."""
    precise: list[Tensor] = []
    covered = torch.zeros(len(halves), 2, len(sides.real), dtype=torch.bool)
    for block in squared_distances(sides.made, sides.real):
        at = slice(sum(map(len, precise)), sum(map(len, precise)) + len(block))
        precise.append((block <= of_real).any(1))
        for s, half in enumerate(halves[:, at]):
            inside = block <= of_made[s, at, None]
            covered[s] |= torch.stack([inside[half].any(0), inside[~half].any(0)])
    return torch.cat(precise), covered
