"""Exact denoisers, E[x0 | x] in closed form: the answers against which everything else is proved."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Mixture:
    """Data that is a mixture of isotropic Gaussians.

    `means` is k points of the picture's shape, `std` the standard deviation of every component (one number, or
    one each), `weights` sums to 1. One component is a Gaussian; std = 0 is a finite data set, whose denoiser
    is the softmax over its pictures.
    """

    means: Float[Tensor, "k *shape"]
    std: Float[Tensor, " k"]
    weights: Float[Tensor, " k"]

    def __call__(self, x: Float[Tensor, "b *shape"], alpha: Tensor, sigma: Tensor) -> Float[Tensor, "b *shape"]:
        """E[x0 | x = alpha x0 + sigma eps], alpha and sigma 0-d or broadcasting to x."""
        alpha, sigma = (a.to(x.dtype).reshape(-1, 1) for a in (alpha, sigma))  # 1 1, or b 1
        flat, means = x.flatten(1), self.means.flatten(1).to(x)
        std, weights = self.std.to(x), self.weights.to(x)
        var = alpha**2 * std**2 + sigma**2  # b k: of x under each component
        residual = flat[:, None] - alpha[..., None] * means  # b k d
        log_p = weights.log() - residual.square().sum(-1) / (2 * var) - means.shape[1] / 2 * var.log()
        gain = alpha * std**2 / var
        posterior_means = means + gain[..., None] * residual
        return (log_p.softmax(1)[..., None] * posterior_means).sum(1).reshape(x.shape)


def gaussian(mean: Float[Tensor, "*shape"], std: float) -> Mixture:
    """Data from one isotropic Gaussian."""
    return Mixture(mean[None], mean.new_tensor([std]), mean.new_ones(1))


def empirical(images: Float[Tensor, "n *shape"]) -> Mixture:
    """A finite data set: what a network would say that had learned its training pictures by heart."""
    n = len(images)
    return Mixture(images, images.new_zeros(n), images.new_full((n,), 1 / n))
