"""A Gaussian by its mean and a root of its covariance, from features or from moments."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from difflab.errors import DifflabError


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
        n, d = features.shape
        if n < 2:
            raise DifflabError(f"a Frechet distance needs 2 pictures a side, here {n}: raise metrics.n")
        x = features.double()
        root = (x - x.mean(0)) / (n - 1) ** 0.5
        return Gaussian(x.mean(0), torch.linalg.qr(root, mode="r").R if n > d else root)

    @staticmethod
    def of_moments(mean: Float64[Tensor, "d"], cov: Float64[Tensor, "d d"]) -> "Gaussian":
        """The Gaussian of two moments; eigenvalues below rounding, negative ones too, count as 0."""
        values, vectors = torch.linalg.eigh(cov)
        rounding = len(mean) * torch.finfo(torch.float64).eps * values.abs().max()
        scale = torch.where(values > rounding, values, 0).sqrt()
        return Gaussian(mean, scale[:, None] * vectors.T)
