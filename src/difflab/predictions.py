"""What the network predicts: y = a x0 + b eps, and how x0 and eps come back from it.

With x = alpha x0 + sigma eps and det = alpha b - sigma a, Cramer's rule gives, for every prediction,
x0 = (b x - sigma y) / det and eps = (alpha y - a x) / det. Arguments broadcast; alpha and sigma are shaped
to fit x (0-d, or b 1 1 1).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from difflab.errors import DifflabError
from difflab.grids import Nodes
from difflab.schedules import Schedule


@dataclass(frozen=True)
class Prediction(ABC):
    """The network's target as a linear combination of data and noise."""

    @abstractmethod
    def coeffs(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """(a, b) of y = a x0 + b eps."""

    def det(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """alpha b - sigma a: zero where y and x say the same, so that x0 can't be recovered."""
        a, b = self.coeffs(alpha, sigma)
        return alpha * b - sigma * a

    def target(self, x0: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        a, b = self.coeffs(alpha, sigma)
        return a * x0 + b * eps

    def x0(self, x: Tensor, y: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        _, b = self.coeffs(alpha, sigma)
        return (b * x - sigma * y) / self.det(alpha, sigma)

    def eps(self, x: Tensor, y: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        a, _ = self.coeffs(alpha, sigma)
        return (alpha * y - a * x) / self.det(alpha, sigma)

    @property
    def name(self) -> str:
        return type(self).__name__.lower()


class Eps(Prediction):
    """The noise: DDPM (2006.11239) eq. 14."""

    def coeffs(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return alpha * 0, alpha * 0 + 1


class X0(Prediction):
    """The clean picture."""

    def coeffs(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return alpha * 0 + 1, alpha * 0


@dataclass(frozen=True)
class V(Prediction):
    """The velocity on the circle, for data of standard deviation d = sigma_data.

    d = 1 is Salimans & Ho's v = alpha eps - sigma x0 (2202.00512, appendix D). d = the data's own is EDM's
    preconditioning (2206.00364, table 1) up to the sign of the network's output.
    """

    sigma_data: float = 1.0

    def coeffs(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        d = self.sigma_data
        r = (alpha**2 * d**2 + sigma**2).sqrt()
        return -sigma / (d * r), alpha * d / r


class Flow(Prediction):
    """The straight velocity eps - x0: rectified flow (2209.03003) eq. 1, with time running to the noise."""

    def coeffs(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return alpha * 0 - 1, alpha * 0 + 1


def check_recoverable(prediction: Prediction, schedule: Schedule, nodes: Nodes) -> None:
    """Refuse a prediction from which x0 can't be recovered at a node that the sampler visits.

    Raises DifflabError. The last node (sigma = 0) is never evaluated.
    """
    alpha, sigma = nodes.alpha[:-1], nodes.sigma[:-1]
    lost = prediction.det(alpha, sigma).abs() < 1e-6 * (alpha**2 + sigma**2).sqrt()
    if lost.any():
        i = int(lost.nonzero()[0])
        t = schedule.t_of_logsnr(2 * (alpha[i] / sigma[i]).log()).item()
        raise DifflabError(
            f"prediction '{prediction.name}' cannot recover x0 at t={t:.4g} of schedule '{schedule.name}' "
            f"(alpha={alpha[i].item():.1g}): use prediction=v, or set schedule.t_max below 1"
        )
