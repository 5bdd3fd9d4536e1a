"""Every sampler of conf/sampler draws from the distribution whose exact denoiser it is given.

All draws are one picture whose pixels are points of the plane, so that a sampler that goes picture by picture needs
one run as well. The weights' 1 % is 3 standard errors of n = 20,000 draws; the moments have 5.
"""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from difflab.config.instantiate import build
from difflab.files import conf_dir
from difflab.grids import Karras, UniformT
from difflab.oracles import Mixture
from difflab.rng import generator
from difflab.samplers import last, run
from difflab.schedules import Cosine

N = 20_000
MEANS = torch.tensor([[-1.2, 0.3], [0.8, 0.9], [0.5, -1.1]])
STD, WEIGHTS = torch.tensor([0.25, 0.15, 0.35]), torch.tensor([0.2, 0.3, 0.5])
MIXTURE = Mixture(MEANS, STD, WEIGHTS)

# Of first order: what is left of the variance in 200 steps, at most 2 standard errors, is the price of the order.
FIRST_ORDER = ("ddim", "euler", "euler_ancestral", "ddpm", "ddpm_upper", "ddpm_learned")


class Oracle:
    """Of the points in a picture of shape 1 n 2, with a variance half-way between the bounds."""

    def __call__(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return MIXTURE(x[0], alpha, sigma)[None]

    def with_variance(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return self(x, alpha, sigma), torch.full_like(x, 0.5)


def draws(seed: int) -> Callable[[Tensor], Tensor]:
    g = generator(seed)
    return lambda like: torch.randn(like.shape, generator=g)


def shares(x: Tensor) -> Tensor:
    """The mean probability of each component, an estimate of its weight no wider than a count."""
    log_p = WEIGHTS.log() - 2 * STD.log() - (x[:, None] - MEANS).square().sum(-1) / (2 * STD**2)
    return log_p.softmax(1).mean(0)


@pytest.mark.parametrize("path", sorted((conf_dir() / "sampler").glob("*.yaml")), ids=lambda p: p.stem)
def test_samples_have_the_weights_the_mean_and_the_covariance(path: Path) -> None:
    grid = UniformT(200) if path.stem in FIRST_ORDER else Karras(60)
    x = last(run(build(OmegaConf.load(path)), Oracle(), grid.nodes(Cosine()), draws(0), torch.zeros(1, N, 2)))[0]

    assert (shares(x) - WEIGHTS).abs().max() < 0.01
    mean = WEIGHTS @ MEANS
    assert ((x.mean(0) - mean).abs() < 5 * x.std(0) / math.sqrt(N)).all()
    products = (x - mean)[:, :, None] * (x - mean)[:, None]
    covariance = (WEIGHTS * STD**2).sum() * torch.eye(2) + (MEANS - mean).T @ torch.diag(WEIGHTS) @ (MEANS - mean)
    assert ((products.mean(0) - covariance).abs() < 5 * products.std(0) / math.sqrt(N)).all()
