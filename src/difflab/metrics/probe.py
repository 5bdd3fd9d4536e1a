"""A linear probe: what a picture shows, read from its features by a classifier trained on real pictures."""

from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor
from torch.nn.functional import one_hot

from difflab.errors import DifflabError
from difflab.metrics.gaussian import gram

PENALTIES = torch.logspace(-1, 6, 15, dtype=torch.float64)
ROWS = 4096  # at once, so that 60,000 rows never exist a second time


@dataclass(frozen=True)
class Probe:
    """Scores of each class, affine in the features; the class with the highest is what the probe sees.

    left_out: the share of the training pictures that it recognises when trained on all others.
    """

    weight: Float64[Tensor, "d k"]
    bias: Float64[Tensor, " k"]
    penalty: float
    left_out: float

    def __call__(self, features: Float32[Tensor, "n d"]) -> Int64[Tensor, " n"]:
        """The class that the probe sees in each picture."""
        return (features.double() @ self.weight + self.bias).argmax(1)


def fit(features: Float32[Tensor, "n d"], labels: Int64[Tensor, " n"], classes: int) -> Probe:
    """Ridge regression of the classes' indicators on standardised features, its intercept without a penalty.

    The penalty is the one of PENALTIES with which most pictures are recognised when left out.
    Raises DifflabError for a class without a picture, or pictures of one class.
    """
    counts = labels.bincount(minlength=classes)
    if classes < 2 or len(counts) > classes or not counts.all():
        raise DifflabError(f"a probe of {classes} classes needs pictures of each: here are {counts.tolist()}")
    mean, std = features.mean(0, dtype=torch.float64), features.double().std(0)
    scale = torch.where(std > 0, 1 / std, 0.0)
    ridge = _Ridge.of((features.double() - mean) * scale, labels, counts.double() / len(labels))
    right = ridge.right_when_left_out()
    best = int(right.argmax())
    weight = scale[:, None] * ridge.weight(PENALTIES[best])
    return Probe(weight, ridge.shares - mean @ weight, PENALTIES[best].item(), right[best].item() / len(labels))


@dataclass(frozen=True)
class _Ridge:
    """Every penalty's regression at once, in the basis of the features' Gram matrix."""

    x: Float64[Tensor, "n d"]  # of mean 0
    labels: Int64[Tensor, " n"]
    shares: Float64[Tensor, " k"]  # of the classes: the intercept
    values: Float64[Tensor, " d"]
    vectors: Float64[Tensor, "d d"]
    target: Float64[Tensor, "d k"]

    @staticmethod
    def of(x: Float64[Tensor, "n d"], labels: Int64[Tensor, " n"], shares: Float64[Tensor, " k"]) -> "_Ridge":
        values, vectors = torch.linalg.eigh(gram(x))
        target = vectors.T @ (x.T @ (one_hot(labels, len(shares)).double() - shares))
        return _Ridge(x, labels, shares, values.clamp(min=0), vectors, target)

    def weight(self, penalty: Float64[Tensor, ""]) -> Float64[Tensor, "d k"]:
        return self.vectors @ (self.target / (self.values + penalty)[:, None])

    def right_when_left_out(self) -> Float64[Tensor, " p"]:
        """How many pictures each of the PENALTIES recognises when trained on all others.

        That needs no second fit: the residual of picture i grows by 1 / (1 - h_i), h its leverage (PRESS, Allen 1974).
        """
        shrunk, right = 1 / (self.values + PENALTIES[:, None]), torch.zeros_like(PENALTIES)  # p d, p
        for part, own in zip(self.x.split(ROWS), self.labels.split(ROWS), strict=True):
            z = part @ self.vectors
            leverage = z.square() @ shrunk.T + 1 / len(self.x)  # b p
            fitted = torch.stack([(z * by) @ self.target for by in shrunk], dim=1) + self.shares  # b p k
            y = one_hot(own, len(self.shares)).double()[:, None]
            seen = (y - (y - fitted) / (1 - leverage)[..., None]).argmax(-1)
            right += (seen == own[:, None]).double().sum(0)
        return right
