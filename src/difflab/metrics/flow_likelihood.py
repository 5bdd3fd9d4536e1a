"""The density of points under the probability-flow ODE, by the instantaneous change of variables.

Song et al. (2011.13456) eq. 39, FFJORD (1810.01367) eq. 4. On the circle z = x / r, r = sqrt(alpha^2 + sigma^2), in the
time s = log(sigma / (alpha + r)), the flow is dz/ds = cos(theta) z - D for every schedule (see samplers/adaptive.py):
the slope is bounded at both ends, and the divergence is d cos(theta) - trace dD/dz, whose first part has a closed
integral.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from difflab.denoiser import Denoise
from difflab.errors import DifflabError
from difflab.grids import Nodes
from difflab.metrics.divergence import Probes, guess_and_trace
from difflab.schedules import Schedule

Pictures = Float[Tensor, "b *shape"]
Nats = Float64[Tensor, " b"]


class Point(NamedTuple):
    """A state and the integral of the trace up to it."""

    z: Pictures
    trace: Nats


Slope = Callable[[float, Pictures], tuple[Pictures, Nats]]
Solver = Callable[[Slope, Point, float, float], Point]
"""(slope, start, s there, s at the end) -> the end."""


@dataclass(frozen=True)
class Ends:
    """The two levels between which the flow runs, each (alpha, sigma) on its way.

    The density at the noisy end is N(0, sigma^2 + alpha^2 sigma_data^2); that at the clean end is of
    x0 + sigma/alpha eps, not of x0: the flow stops there.
    """

    clean: tuple[float, float]
    noisy: tuple[float, float]
    sigma_data: int | float

    @property
    def sigma_min(self) -> float:
        """sigma/alpha of the clean end."""
        alpha, sigma = self.clean
        return sigma / alpha

    @property
    def s(self) -> tuple[float, float]:
        return _s(*self.clean), _s(*self.noisy)

    @property
    def prior_variance(self) -> float:
        """Of z at the noisy end."""
        alpha, sigma = self.noisy
        return (sigma**2 + (alpha * self.sigma_data) ** 2) / (alpha**2 + sigma**2)

    def nodes(self) -> Nodes:
        """The levels at which the denoiser is asked, as a grid."""
        alpha, sigma = torch.tensor([self.noisy, self.clean, (1.0, 0.0)], dtype=torch.float64).T
        return Nodes(alpha, sigma)


def _s(alpha: float, sigma: float) -> float:
    return math.log(sigma / (alpha + math.hypot(alpha, sigma)))


def ends(schedule: Schedule, sigma_data: int | float, first: int | float) -> Ends:
    """From the time `first` to the schedule's t_max."""
    alpha, sigma = schedule.alpha_sigma(torch.tensor([first, schedule.t_max], dtype=torch.float64))
    clean, noisy = zip(alpha.tolist(), sigma.tolist(), strict=True)
    return Ends(clean, noisy, sigma_data)


def log_density(denoise: Denoise, y: Pictures, ends: Ends, probes: Probes, solve: Solver) -> Nats:
    """log p of whole pictures y in the scale of x0, in nats; no row knows of another with a fixed-step solver."""

    def slope(s: float, z: Pictures) -> tuple[Pictures, Nats]:
        # Rounding may lead a step beyond s = 0, where there is no signal.
        cos, sin = (torch.tensor(a, dtype=z.dtype, device=z.device) for a in (max(-math.tanh(s), 0), 1 / math.cosh(s)))
        guess, trace = guess_and_trace(denoise, z, cos, sin, probes)
        return cos * z - guess, trace

    start, stop = ends.s
    cos = -math.tanh(start)
    end = solve(slope, Point(cos * y, torch.zeros(len(y), dtype=torch.float64, device=y.device)), start, stop)
    size = y[0].numel()
    # The integral of cos(theta) = -tanh(s), and y = z / cos(theta) at the clean end.
    linear = math.log(math.cosh(start) / math.cosh(stop)) + math.log(cos)
    return _log_normal(end.z, ends.prior_variance) + size * linear - end.trace


def _log_normal(z: Pictures, variance: float) -> Nats:
    size = z[0].numel()
    return -z.double().square().flatten(1).sum(1) / (2 * variance) - size / 2 * math.log(2 * math.pi * variance)


def _moved(point: Point, h: int | float, rate: tuple[Pictures, Nats]) -> Point:
    return Point(point.z + h * rate[0], point.trace + h * rate[1])


@dataclass(frozen=True)
class Heun:
    """Second order, two evaluations a step, even in s."""

    steps: int

    @property
    def nfe(self) -> int:
        return 2 * self.steps

    def __call__(self, slope: Slope, start: Point, s: float, stop: float) -> Point:
        h, at = (stop - s) / self.steps, start
        for i in range(self.steps):
            k1 = slope(s + i * h, at.z)
            k2 = slope(s + (i + 1) * h, _moved(at, h, k1).z)
            at = _moved(_moved(at, h / 2, k1), h / 2, k2)
        return at


@dataclass(frozen=True)
class RK4:
    """Fourth order, four evaluations a step, even in s."""

    steps: int

    @property
    def nfe(self) -> int:
        return 4 * self.steps

    def __call__(self, slope: Slope, start: Point, s: float, stop: float) -> Point:
        h, at = (stop - s) / self.steps, start
        for i in range(self.steps):
            here, middle, there = s + i * h, s + (i + 0.5) * h, s + (i + 1) * h
            k1 = slope(here, at.z)
            k2 = slope(middle, _moved(at, h / 2, k1).z)
            k3 = slope(middle, _moved(at, h / 2, k2).z)
            k4 = slope(there, _moved(at, h, k3).z)
            for weight, k in ((1, k1), (2, k2), (2, k3), (1, k4)):
                at = _moved(at, h * weight / 6, k)
        return at


@dataclass(frozen=True)
class Adaptive:
    """Dormand-Prince 5(4) of torchdiffeq. Rows share their steps: give it one, so that none depends on another.

    Needs probes that stay the same along the path. Raises DifflabError where no step is short enough.
    """

    rtol: int | float = 1e-5
    atol: int | float = 1e-5
    nfe: None = None

    def __call__(self, slope: Slope, start: Point, s: float, stop: float) -> Point:
        from torchdiffeq import odeint

        times = torch.tensor([s, stop], dtype=torch.float64)

        def rate(s: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            dz, trace = slope(s.item(), state[0].to(start.z))
            return dz.double(), trace

        try:
            begin = (start.z.double(), start.trace)
            z, trace = odeint(rate, begin, times, rtol=self.rtol, atol=self.atol, method="dopri5")
        except AssertionError as error:  # torchdiffeq's word for a step of length 0
            raise DifflabError(
                f"ode.solver=adaptive finds no step short enough for rtol={self.rtol}, atol={self.atol}: the denoiser "
                "is not smooth or not finite; set greater ones, or ode.solver=rk4"
            ) from error
        return Point(z[-1].to(start.z), trace[-1])
