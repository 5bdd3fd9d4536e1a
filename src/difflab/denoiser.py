"""The denoiser D(x, alpha, sigma) -> x0_hat: the only thing that samplers, guidance and metrics see."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from difflab.conditions.base import NOTHING, Condition, Given, Told
from difflab.conditions.none import NoCondition
from difflab.errors import DifflabError
from difflab.predictions import Prediction

Pictures = Float[Tensor, "b *shape"]


Denoise = Callable[[Tensor, Tensor, Tensor], Tensor]
"""What is left of a model downstream: (x, alpha, sigma) -> the best guess of x0, alpha and sigma 0-d or b 1 1 1."""


class Guesser(ABC):
    """What a network's outputs say: the guess of x0 and, of one with a variance head, the variance of the step."""

    prediction: Prediction

    @property
    @abstractmethod
    def learns_variance(self) -> bool: ...

    @abstractmethod
    def outputs(self, x: Pictures, alpha: Tensor, sigma: Tensor) -> tuple[Pictures, Pictures | None]:
        """The raw output y and, of a network with a variance head, its fraction: 0 the lower bound, 1 the upper.

        The head is the second half of the channels, in -1..1 by itself and not by force: iDDPM (2102.09672) eq. 15.
        """

    def predict(self, x: Pictures, alpha: Tensor, sigma: Tensor) -> Pictures:
        """The network's raw output y, in the dtype of x."""
        return self.outputs(x, alpha, sigma)[0]

    def guess(self, x: Pictures, alpha: Tensor, sigma: Tensor) -> Pictures:
        """The guess of x0."""
        return self.prediction.x0(x, self.predict(x, alpha, sigma), alpha, sigma)

    def with_variance(self, x: Pictures, alpha: Tensor, sigma: Tensor) -> tuple[Pictures, Pictures]:
        """The guess of x0, and where the variance of the step lies between its bounds (see variance.py).

        Raises DifflabError for a network without a variance head.
        """
        y, fraction = self.outputs(x, alpha, sigma)
        if fraction is None:
            raise DifflabError("the network has no variance head: train with net.learn_variance=true")
        return self.prediction.x0(x, y, alpha, sigma), fraction


class Denoiser(nn.Module, Guesser):
    """A network, its prediction, the data's standard deviation and the condition that it is trained with.

    The network sees unit-variance input x / sqrt(alpha^2 d^2 + sigma^2) and the level -logsnr/8, EDM's
    c_noise = log(sigma_hat)/4 (2206.00364, table 1). So D(kx, k alpha, k sigma) = D(x, alpha, sigma), and a
    trained network samples on the grid of any schedule. Called as it is, it guesses without a condition.
    """

    def __init__(
        self, net: nn.Module, prediction: Prediction, sigma_data: float, condition: Condition | None = None
    ) -> None:
        super().__init__()
        self.net = net
        self.prediction = prediction
        self.sigma_data = sigma_data
        self.condition = condition or NoCondition({})

    @property
    def learns_variance(self) -> bool:
        return bool(getattr(self.net, "learn_variance", False))

    def given(self, given: Given) -> "Conditional":
        """This denoiser on a condition of each row."""
        return Conditional(self, self.condition(given))

    def outputs(self, x: Pictures, alpha: Tensor, sigma: Tensor) -> tuple[Pictures, Pictures | None]:
        return self.outputs_told(x, alpha, sigma, self.unconditional(x))

    def unconditional(self, x: Pictures) -> Told:
        """What the network is told of rows without a condition."""
        if isinstance(self.condition, NoCondition):
            return NOTHING
        told: Told = self.condition(self.condition.null(len(x)).to(x.device))
        return told

    def outputs_told(self, x: Pictures, alpha: Tensor, sigma: Tensor, told: Told) -> tuple[Pictures, Pictures | None]:
        scale = (alpha**2 * self.sigma_data**2 + sigma**2).sqrt()
        logsnr = 2 * (alpha / sigma).log().clamp(-10, 10)
        level = (-logsnr / 8).to(x).flatten().expand(len(x))
        inputs = (x / scale.to(x.dtype), level)
        out: Tensor = (self.net(*inputs) if told is NOTHING else self.net(*inputs, told)).to(x.dtype)
        if not self.learns_variance:
            return out, None
        y, v = out.chunk(2, dim=1)
        return y, (v + 1) / 2

    def forward(self, x: Pictures, alpha: Tensor, sigma: Tensor) -> Pictures:
        return self.guess(x, alpha, sigma)


@dataclass(frozen=True)
class Conditional(Guesser):
    """A denoiser whose network is told a condition of each row, embedded once for all levels."""

    denoiser: Denoiser
    told: Told

    @property
    def prediction(self) -> Prediction:  # type: ignore[override]  # an attribute there
        return self.denoiser.prediction

    @property
    def learns_variance(self) -> bool:
        return self.denoiser.learns_variance

    def outputs(self, x: Pictures, alpha: Tensor, sigma: Tensor) -> tuple[Pictures, Pictures | None]:
        return self.denoiser.outputs_told(x, alpha, sigma, self.told)

    def __call__(self, x: Pictures, alpha: Tensor, sigma: Tensor) -> Pictures:
        return self.guess(x, alpha, sigma)
