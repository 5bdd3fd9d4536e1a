"""Loss weightings w(logsnr), the factor on |x0 - x0_hat|^2.

The prediction never changes what is minimised (see objective.py), so min-SNR and the like are written once.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Logsnr = Float[Tensor, "*b"]


@dataclass(frozen=True)
class Weighting(ABC):
    @abstractmethod
    def __call__(self, logsnr: Logsnr) -> Logsnr:
        """The weight, in the dtype of `logsnr` (float64: it spans e^-20 to e^20)."""


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


class Flow(Weighting):
    """(1 + e^(logsnr/2))^2: mean squared error of eps - x0, flow matching (2210.02747) eq. 23."""

    def __call__(self, logsnr: Logsnr) -> Logsnr:
        return (1 + (logsnr / 2).exp()) ** 2


class Constant(Weighting):
    """1: mean squared error of x0."""

    def __call__(self, logsnr: Logsnr) -> Logsnr:
        return torch.ones_like(logsnr)


@dataclass(frozen=True)
class MinSnr(Weighting):
    """min(e^logsnr, gamma): Hang et al. (2303.09556) eq. 7, for every prediction at once."""

    gamma: float = 5.0

    def __call__(self, logsnr: Logsnr) -> Logsnr:
        return logsnr.exp().clamp(max=self.gamma)
