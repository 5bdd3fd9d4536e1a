"""A Gaussian by its mean and a root of its covariance, from features or from moments."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from difflab.errors import DifflabError

EPS = torch.finfo(torch.float64).eps


@dataclass(frozen=True)
class Gaussian:
    """A mean and a root of the covariance: cov = root' root, with as many rows as are at hand."""

    mean: Float64[Tensor, "d"]
    root: Float64[Tensor, "k d"]

    @staticmethod
    def of_features(features: Float[Tensor, "n d"]) -> "Gaussian":
        """The Gaussian with the mean and the unbiased (n - 1) covariance of the rows; no matrix is squared.

        Raises:
            DifflabError: fewer than two rows have no covariance.
        """
        mean, root = centred(features)
        n, d = root.shape
        return Gaussian(mean, torch.linalg.qr(root, mode="r").R if n > d else root)

    @staticmethod
    def of_moments(mean: Float64[Tensor, "d"], cov: Float64[Tensor, "d d"]) -> "Gaussian":
        """The Gaussian of two moments; directions of no variance but rounding, or a negative one, are left out."""
        root = _cholesky(cov)
        return Gaussian(mean, _eigen_root(cov) if root is None else root)


def centred(features: Float[Tensor, "n d"]) -> tuple[Float64[Tensor, "d"], Float64[Tensor, "n d"]]:
    """The mean, and the rows less the mean over sqrt(n - 1): a root of the unbiased covariance.

    Raises:
        DifflabError: fewer than two rows have no covariance.
    """
    n = len(features)
    if n < 2:
        raise DifflabError(f"a Frechet distance needs 2 pictures a side, here {n}: raise metrics.n")
    root = features.double()
    mean = root.mean(0)
    return mean, (root - mean).div_((n - 1) ** 0.5)


def gram(x: Float64[Tensor, "n d"]) -> Float64[Tensor, "d d"]:
    """x'x, its lower half by blocks and the rest by symmetry: five eighths of the multiplications."""
    size, step = x.shape[1], -(-x.shape[1] // 4)
    lower = x.new_zeros(size, size)
    for i in range(0, size, step):
        torch.mm(x[:, i:].mT, x[:, i : i + step], out=lower[i:, i : i + step])
    return lower.tril() + lower.tril(-1).mT


def _cholesky(cov: Float64[Tensor, "d d"]) -> Float64[Tensor, "d d"] | None:
    """A tenth of the time of the eigenvectors; None where a pivot is mere rounding."""
    lower, failed = torch.linalg.cholesky_ex(cov)
    pivots = lower.diagonal().square()
    if failed or pivots.min() < len(cov) * EPS * cov.diagonal().max():
        return None
    return lower.mT.contiguous()


def _eigen_root(cov: Float64[Tensor, "d d"]) -> Float64[Tensor, "k d"]:
    values, vectors = torch.linalg.eigh(cov)
    kept = values > len(cov) * EPS * values.abs().max()
    return values[kept].sqrt()[:, None] * vectors[:, kept].mT
