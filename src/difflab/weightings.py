"""Loss weightings w(logsnr), the factor on |x0 - x0_hat|^2.

The prediction never changes what is minimised (see objective.py), so min-SNR and the like are written once, in x0
space: a paper that weights |eps - eps_hat|^2 by f is w = e^logsnr f here.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from difflab.nets.embed import LevelEmbedding

Logsnr = Float[Tensor, "*b"]


class Weighting(ABC):
    @abstractmethod
    def __call__(self, logsnr: Logsnr) -> Logsnr:
        """The weight, in the dtype of `logsnr` (float64: it spans e^-20 to e^20)."""

    def terms(self, logsnr: Logsnr) -> tuple[Logsnr, Logsnr]:
        """The weight, and what is added to the weighted error: 0 unless the weight itself is trained."""
        return self(logsnr), torch.zeros_like(logsnr)


@dataclass(frozen=True)
class Snr(Weighting):
    """e^logsnr: mean squared error of eps, DDPM's L_simple (2006.11239) eq. 14."""

    def __call__(self, logsnr: Logsnr) -> Logsnr:
        return logsnr.exp()


@dataclass(frozen=True)
class SnrPlus(Weighting):
    """e^logsnr + 1/d^2: mean squared error of v, and EDM's lambda(sigma) (2206.00364, table 1)."""

    sigma_data: float = 1.0

    def __call__(self, logsnr: Logsnr) -> Logsnr:
        return logsnr.exp() + self.sigma_data**-2


@dataclass(frozen=True)
class Flow(Weighting):
    """(1 + e^(logsnr/2))^2: mean squared error of eps - x0, flow matching (2210.02747) eq. 23."""

    def __call__(self, logsnr: Logsnr) -> Logsnr:
        return (1 + (logsnr / 2).exp()) ** 2


@dataclass(frozen=True)
class Constant(Weighting):
    """1: mean squared error of x0."""

    def __call__(self, logsnr: Logsnr) -> Logsnr:
        return torch.ones_like(logsnr)


@dataclass(frozen=True)
class TruncatedSnr(Weighting):
    """max(e^logsnr, 1): Salimans & Ho (2202.00512) section 4, the larger of the errors of eps and of x0."""

    def __call__(self, logsnr: Logsnr) -> Logsnr:
        return logsnr.exp().clamp(min=1)


@dataclass(frozen=True)
class MinSnr(Weighting):
    """min(e^logsnr, gamma): Hang et al. (2303.09556) eq. 7, for every prediction at once."""

    gamma: float = 5.0

    def __call__(self, logsnr: Logsnr) -> Logsnr:
        return logsnr.exp().clamp(max=self.gamma)


@dataclass(frozen=True)
class SoftMinSnr(Weighting):
    """gamma e^logsnr / (e^logsnr + gamma): min-SNR without its corner (2401.11605, appendix)."""

    gamma: float = 4.0

    def __call__(self, logsnr: Logsnr) -> Logsnr:
        return self.gamma * (logsnr - math.log(self.gamma)).sigmoid()


@dataclass(frozen=True)
class Sigmoid(Weighting):
    """e^logsnr sigmoid(bias - logsnr): Kingma & Gao (2303.00848) and simpler diffusion (2410.19324) eq. 7.

    Their weight is per unit of logsnr: train it with times=uniform_logsnr, whose density is even there. As a
    function it is SoftMinSnr with gamma = e^bias.
    """

    bias: float = -1.0

    def __call__(self, logsnr: Logsnr) -> Logsnr:
        return SoftMinSnr(math.exp(self.bias))(logsnr)


@dataclass(frozen=True)
class P2(Weighting):
    """e^logsnr / (k + e^logsnr)^gamma: perception prioritised (2204.00227) eq. 8, on the error of eps there."""

    k: float = 1.0
    gamma: float = 1.0

    def __call__(self, logsnr: Logsnr) -> Logsnr:
        return logsnr.exp() / (self.k + logsnr.exp()) ** self.gamma


class LearnedUncertainty(nn.Module, Weighting):
    """base(logsnr) e^-u + u with a trained u(logsnr): EDM2 (2312.02696) eq. 14, after Kendall et al. (1705.07115).

    At its minimum e^u is the base-weighted error of a level, so that every level counts 1. u starts at 0.
    """

    def __init__(self, base: Weighting, width: int = 32) -> None:
        super().__init__()
        self.base = base
        self.embed = LevelEmbedding(width)
        self.out = nn.Linear(width, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, logsnr: Logsnr) -> Logsnr:
        return self.terms(logsnr)[0]

    def terms(self, logsnr: Logsnr) -> tuple[Logsnr, Logsnr]:
        level = (-logsnr / 8).clamp(-2.5, 2.5).flatten().to(self.out.weight.dtype)
        u = self.out(self.embed(level)).reshape(logsnr.shape).to(logsnr)
        return self.base(logsnr) * (-u).exp(), u

    __call__ = nn.Module.__call__  # Weighting's is abstract
