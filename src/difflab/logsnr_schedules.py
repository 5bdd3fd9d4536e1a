"""Variance-preserving schedules that are defined by their logsnr: the amplitudes follow from it."""

import math
from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid

from difflab.schedules import Level, Times, VariancePreserving


class ByLogsnr(VariancePreserving):
    def alpha_sigma(self, t: Times) -> tuple[Level, Level]:
        return self.at_logsnr(self.logsnr(t))


@dataclass(frozen=True)
class Sigmoid(ByLogsnr):
    """alpha^2 falls as a sigmoid from start to end, steeper with a smaller tau: Chen (2301.10972), algorithm 1.

    With y = (start + t (end - start)) / tau, alpha^2 = (s(y(1)) - s(y)) / (s(y(1)) - s(y(0))); as a ratio of
    hyperbolic sines of (1 - t) w and t w, w = (y(1) - y(0)) / 2, it does not cancel.
    """

    t_min: float = 1e-5
    start: int | float = -3.0
    end: int | float = 3.0
    tau: int | float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.end > self.start and self.tau > 0, "start < end and tau > 0")

    def logsnr(self, t: Times) -> Level:
        w, tilt = self._shape()
        return (((1 - t) * w).sinh() / (t * w).sinh()).log() + tilt

    def t_of_logsnr(self, logsnr: Level) -> Times:
        w, tilt = self._shape()
        # Solved for t w, or for (1 - t) w where this is the smaller: softplus(w - |l|) - softplus(-w - |l|) over 2.
        size = (logsnr - tilt).abs()
        near = (logsigmoid(size + w) - logsigmoid(size - w)) / (2 * w)
        return torch.where(logsnr > tilt, near, 1 - near)

    def dlogsnr(self, t: Times) -> Level:
        w, _ = self._shape()
        return -w * (1 / ((1 - t) * w).tanh() + 1 / (t * w).tanh())

    def _shape(self) -> tuple[float, float]:
        """w, and logsnr at t = 1/2."""
        tilt = math.log(math.cosh(self.start / self.tau / 2) / math.cosh(self.end / self.tau / 2))
        return (self.end - self.start) / self.tau / 2, tilt


@dataclass(frozen=True)
class Laplace(ByLogsnr):
    """Uniform times are Laplace-distributed in logsnr, with this mean and scale: Hang et al. (2407.03297).

    Its t_min is so small since logsnr grows so slowly towards the data: it is 13.5 there.
    """

    t_min: float = 1e-12
    mean: int | float = 0.0
    scale: int | float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.scale > 0, "scale > 0")

    def logsnr(self, t: Times) -> Level:
        tail = self.scale * (2 * torch.minimum(t, 1 - t)).log()
        return self.mean + torch.where(t < 0.5, -tail, tail)

    def t_of_logsnr(self, logsnr: Level) -> Times:
        tail = (-(logsnr - self.mean).abs() / self.scale).exp() / 2
        return torch.where(logsnr > self.mean, tail, 1 - tail)

    def dlogsnr(self, t: Times) -> Level:
        return -self.scale / torch.minimum(t, 1 - t)
