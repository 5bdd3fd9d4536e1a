"""The training loss, defined once in x0 space and evaluated in the network's own output space.

|y - y_hat|^2 = (det/sigma)^2 |x0 - x0_hat|^2, so w(logsnr) |x0 - x0_hat|^2 is
w(logsnr) (sigma/det)^2 |y - y_hat|^2: well scaled at every level, and the same objective whatever the
prediction is. The factor is exactly 1 for a matching pair (eps with snr, v with snr_plus, flow with flow).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from difflab.denoiser import Denoiser
from difflab.predictions import Prediction
from difflab.schedules import Schedule
from difflab.times import Times
from difflab.weightings import Weighting


class Loss(NamedTuple):
    per_sample: Float[Tensor, " b"]  # weighted, mean over pixels
    x0_mse: Float[Tensor, " b"]  # |x0 - x0_hat|^2, mean over pixels, without gradient: comparable across runs
    logsnr: Float64[Tensor, " b"]


@dataclass(frozen=True)
class Objective:
    """What is minimised: the effective weight of a level is weighting x density of times."""

    schedule: Schedule
    weighting: Weighting
    times: Times

    def __call__(self, denoiser: Denoiser, x0: Float[Tensor, "b *shape"], generator: torch.Generator) -> Loss:
        """The loss of one batch; all randomness comes from `generator`, on the device of x0."""
        t = self.times.draw(len(x0), self.schedule, generator)
        eps = torch.randn(x0.shape, generator=generator, device=x0.device, dtype=x0.dtype)
        return self.at(denoiser, x0, eps, t)

    def at(
        self,
        denoiser: Denoiser,
        x0: Float[Tensor, "b *shape"],
        eps: Float[Tensor, "b *shape"],
        t: Float64[Tensor, " b"],
    ) -> Loss:
        """The loss at given noise and times."""
        logsnr = self.schedule.logsnr(t)
        level = self.schedule.alpha_sigma(t)
        unweight = to_x0_space(denoiser.prediction, *level)
        alpha, sigma = (a.to(x0.dtype).reshape(-1, *[1] * (x0.ndim - 1)) for a in level)

        y_hat = denoiser.predict(alpha * x0 + sigma * eps, alpha, sigma)
        y = denoiser.prediction.target(x0, eps, alpha, sigma)
        y_mse = (y_hat - y).square().flatten(1).mean(1)
        factor = self.weighting(logsnr) * unweight
        return Loss(factor.to(x0.dtype) * y_mse, unweight.to(x0.dtype) * y_mse.detach(), logsnr)


def to_x0_space(
    prediction: Prediction, alpha: Float64[Tensor, "*b"], sigma: Float64[Tensor, "*b"]
) -> Float64[Tensor, "*b"]:
    """(sigma/det)^2, which turns the squared error of y into that of x0."""
    return (sigma / prediction.det(alpha, sigma)) ** 2
