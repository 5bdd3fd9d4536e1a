"""Couplings: which noise goes with which picture of a batch. Both keep their distributions."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

Pictures = Float[Tensor, "b *shape"]


class Coupling(ABC):
    # Whether classes compete for the noise, so that the noise of one class is no longer standard normal.
    mixes_classes: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, x0: Pictures, eps: Pictures) -> Pictures:
        """The rows of `eps` in the order in which they go with those of `x0`."""


@dataclass(frozen=True)
class Independent(Coupling):
    """Any noise with any picture: DDPM, and everything that does not say otherwise."""

    def __call__(self, x0: Pictures, eps: Pictures) -> Pictures:
        return eps


@dataclass(frozen=True)
class MinibatchOT(Coupling):
    """The order that makes the batch's sum of |x0 - eps|^2 least: 2302.00482 section 3.2, 2304.14772 section 3.

    It straightens the paths that flow matching learns. Exact, in the cube of the batch.
    """

    mixes_classes: ClassVar[bool] = True

    def __call__(self, x0: Pictures, eps: Pictures) -> Pictures:
        from scipy.optimize import linear_sum_assignment

        distance = torch.cdist(x0.flatten(1).double(), eps.flatten(1).double()).square()
        _, order = linear_sum_assignment(distance.cpu().numpy())
        return eps[torch.as_tensor(order, device=eps.device)]
