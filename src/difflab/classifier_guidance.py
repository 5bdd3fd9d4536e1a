"""Guidance by the gradient of a classifier of noisy pictures."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from difflab.denoiser import Pictures
from difflab.guidance import Guidance

LogProb = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x, alpha, sigma) -> log p(c | x) of each row, differentiable in x."""

LEAST_ALPHA = 1e-3  # of sigma: below it the gradient of a classifier is rounding divided by alpha


@dataclass(frozen=True)
class ClassifierGuidance(Guidance):
    """An unconditional guess + scale sigma^2/alpha grad_x log p(c | x): Tweedie's x0 of a shifted score (2105.05233).

    As in classifier-free guidance, scale 1 is the conditional denoiser; scale 0 is the unconditional one. Pure noise
    (alpha = 0) says nothing of c, yet the term has a limit: it is taken at the level LEAST_ALPHA.
    """

    log_prob: LogProb = field(repr=False)
    scale: int | float

    def change(self, x0: Pictures, x: Pictures, alpha: Tensor, sigma: Tensor) -> Pictures:
        alpha = torch.maximum(alpha, LEAST_ALPHA * sigma)
        return x0 + self.scale * sigma**2 / alpha * _gradient(self.log_prob, x, alpha, sigma)


def _gradient(log_prob: LogProb, x: Pictures, alpha: Tensor, sigma: Tensor) -> Pictures:
    """grad_x log p of each row. Sampling runs in inference mode, whose tensors know no gradient: their copies do."""
    with torch.inference_mode(False), torch.enable_grad():
        x, alpha, sigma = x.clone().detach().requires_grad_(), alpha.clone(), sigma.clone()
        (slope,) = torch.autograd.grad(log_prob(x, alpha, sigma).sum(), x)
    return slope
