"""The training loss, defined once in x0 space and evaluated in the network's own output space.

|y - y_hat|^2 = (det/sigma)^2 |x0 - x0_hat|^2, so w(logsnr) |x0 - x0_hat|^2 is
w(logsnr) (sigma/det)^2 |y - y_hat|^2: well scaled at every level, and the same objective whatever the
prediction is. The factor is exactly 1 for a matching pair (eps with snr, v with snr_plus, flow with flow).
"""

from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from difflab.couplings import Coupling, Independent
from difflab.denoiser import Guesser
from difflab.errors import DifflabError
from difflab.predictions import Prediction
from difflab.schedules import Schedule
from difflab.times import Times
from difflab.weightings import Weighting


class Loss(NamedTuple):
    per_sample: Float[Tensor, " b"]  # weighted, mean over pixels; its mean is what is minimised
    x0_mse: Float[Tensor, " b"]  # |x0 - x0_hat|^2, mean over pixels, without gradient: comparable across runs
    logsnr: Float64[Tensor, " b"]
    t: Float64[Tensor, " b"]
    unscaled: Float[Tensor, " b"]  # per_sample before the importance of its time, without gradient


class Objective(nn.Module):
    """What is minimised: the effective weight of a level is weighting x density of times.

    A module, so that a trained weighting is trained along and a density that learns is saved with the run.
    """

    needs_variance: ClassVar[bool] = False

    def __init__(
        self, schedule: Schedule, weighting: Weighting, times: Times, coupling: Coupling | None = None
    ) -> None:
        super().__init__()
        self.schedule, self.weighting, self.times = schedule, weighting, times
        self.coupling = coupling or Independent()

    def forward(self, denoiser: Guesser, x0: Float[Tensor, "b *shape"], generator: torch.Generator) -> Loss:
        """The loss of one batch; all randomness comes from `generator`, on the device of x0."""
        t = self.times.draw(len(x0), self.schedule, generator)
        eps = torch.randn(x0.shape, generator=generator, device=x0.device, dtype=x0.dtype)
        return self.at(denoiser, x0, self.coupling(x0, eps), t)

    def at(
        self,
        denoiser: Guesser,
        x0: Float[Tensor, "b *shape"],
        eps: Float[Tensor, "b *shape"],
        t: Float64[Tensor, " b"],
    ) -> Loss:
        """The loss at given noise and times."""
        alpha, sigma = (fit(a, x0) for a in self.schedule.alpha_sigma(t))
        return self.loss(denoiser.predict(alpha * x0 + sigma * eps, alpha, sigma), denoiser.prediction, x0, eps, t)

    def loss(
        self,
        y_hat: Float[Tensor, "b *shape"],
        prediction: Prediction,
        x0: Float[Tensor, "b *shape"],
        eps: Float[Tensor, "b *shape"],
        t: Float64[Tensor, " b"],
    ) -> Loss:
        """The loss of the network's output y_hat at given noise and times."""
        logsnr = self._finite_logsnr(t)
        y = prediction.target(x0, eps, *(fit(a, x0) for a in self.schedule.alpha_sigma(t)))
        y_mse = (y_hat - y).square().flatten(1).mean(1)
        unweight = to_x0_space(prediction, *self.schedule.at_logsnr(logsnr))
        weight, offset = self.weighting.terms(logsnr)
        unscaled = (weight * unweight).to(x0.dtype) * y_mse + offset.to(x0.dtype)
        importance = self.times.importance(t, self.schedule).to(x0.dtype)
        return Loss(importance * unscaled, unweight.to(x0.dtype) * y_mse.detach(), logsnr, t, unscaled.detach())

    def factor(self, prediction: Prediction, t: Float64[Tensor, " b"]) -> Float64[Tensor, " b"]:
        """On |y - y_hat|^2: 1 for a matching pair of prediction and weighting, also where no signal is left."""
        logsnr = self._finite_logsnr(t)
        return self.weighting(logsnr) * to_x0_space(prediction, *self.schedule.at_logsnr(logsnr))

    def _finite_logsnr(self, t: Float64[Tensor, " b"]) -> Float64[Tensor, " b"]:
        """At alpha = 0 a weight of 0 meets an infinite error: this level, where e^-60 is left, gives the limit."""
        return self.schedule.logsnr(t).clamp(-60, 60)

    def bound(self, prediction: Prediction, t: Float64[Tensor, " b"]) -> Float64[Tensor, " b"]:
        """The most that an error of the output can weigh at t."""
        return self.factor(prediction, t)


def fit(a: Float64[Tensor, " b"], x: Float[Tensor, "b *shape"]) -> Float[Tensor, "b ..."]:
    """One number a row, shaped and typed to multiply x."""
    return a.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))


def to_x0_space(
    prediction: Prediction, alpha: Float64[Tensor, "*b"], sigma: Float64[Tensor, "*b"]
) -> Float64[Tensor, "*b"]:
    """(sigma/det)^2, which turns the squared error of y into that of x0."""
    return (sigma / prediction.det(alpha, sigma)) ** 2


def check_trainable(prediction: Prediction, objective: Objective) -> None:
    """Refuse a prediction whose loss has no bound at the ends of the density of times. Raises DifflabError.

    The ends are those of the middle 99.9 %, so that a table's last level is one of them.
    """
    schedule = objective.schedule
    ends = objective.times.within(torch.tensor([0.0005, 0.9995], dtype=torch.float64), schedule)
    with torch.no_grad():
        factor = objective.bound(prediction, ends)
    # Next to a factor of 1e10 no other level counts in float32.
    for t, f in zip(ends.tolist(), factor.tolist(), strict=True):
        if not f < 1e10:
            raise DifflabError(
                f"prediction '{prediction.name}' cannot be trained at t={t:.4g} of schedule '{schedule.name}' with "
                f"weighting '{type(objective.weighting).__name__}' (the factor on its error is {f:.1g}): use "
                f"prediction=v, or set schedule.{'t_max below 1' if t > 0.5 else 't_min higher'}"
            )
