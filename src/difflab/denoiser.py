"""The denoiser D(x, alpha, sigma) -> x0_hat: the only thing that samplers, guidance and metrics see."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from difflab.errors import DifflabError
from difflab.predictions import Prediction

Pictures = Float[Tensor, "b *shape"]


Denoise = Callable[[Tensor, Tensor, Tensor], Tensor]
"""What is left of a model downstream: (x, alpha, sigma) -> the best guess of x0, alpha and sigma 0-d or b 1 1 1."""


class Denoiser(nn.Module):
    """A network, its prediction and the data's standard deviation.

    The network sees unit-variance input x / sqrt(alpha^2 d^2 + sigma^2) and the level -logsnr/8, EDM's
    c_noise = log(sigma_hat)/4 (2206.00364, table 1). So D(kx, k alpha, k sigma) = D(x, alpha, sigma), and a
    trained network samples on the grid of any schedule.
    """

    def __init__(self, net: nn.Module, prediction: Prediction, sigma_data: float) -> None:
        super().__init__()
        self.net = net
        self.prediction = prediction
        self.sigma_data = sigma_data

    @property
    def learns_variance(self) -> bool:
        return bool(getattr(self.net, "learn_variance", False))

    def predict(self, x: Pictures, alpha: Tensor, sigma: Tensor) -> Pictures:
        """The network's raw output y, in the dtype of x."""
        return self.outputs(x, alpha, sigma)[0]

    def outputs(self, x: Pictures, alpha: Tensor, sigma: Tensor) -> tuple[Pictures, Pictures | None]:
        """The raw output y and, of a network with a variance head, its fraction: 0 the lower bound, 1 the upper.

        The head is the second half of the channels, in -1..1 by itself and not by force: iDDPM (2102.09672) eq. 15.
        """
        scale = (alpha**2 * self.sigma_data**2 + sigma**2).sqrt()
        logsnr = 2 * (alpha / sigma).log().clamp(-10, 10)
        level = (-logsnr / 8).to(x).flatten().expand(len(x))
        out: Tensor = self.net(x / scale.to(x.dtype), level).to(x.dtype)
        if not self.learns_variance:
            return out, None
        y, v = out.chunk(2, dim=1)
        return y, (v + 1) / 2

    def with_variance(self, x: Pictures, alpha: Tensor, sigma: Tensor) -> tuple[Pictures, Pictures]:
        """The guess of x0, and where the variance of the step lies between its bounds (see variance.py).

        Raises DifflabError for a network without a variance head.
        """
        y, fraction = self.outputs(x, alpha, sigma)
        if fraction is None:
            raise DifflabError("the network has no variance head: train with net.learn_variance=true")
        return self.prediction.x0(x, y, alpha, sigma), fraction

    def forward(self, x: Pictures, alpha: Tensor, sigma: Tensor) -> Pictures:
        return self.prediction.x0(x, self.predict(x, alpha, sigma), alpha, sigma)
