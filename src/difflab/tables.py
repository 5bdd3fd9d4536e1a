"""Discrete schedules: a table of betas, beta_i = 1 - alpha_i^2 / alpha_(i-1)^2, and the tables of the papers."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from difflab.errors import DifflabError
from difflab.logsnr_schedules import ByLogsnr
from difflab.schedules import Level, Times


class Tabulated(ByLogsnr):
    """The discrete levels of a list of betas, level i at t = (i + 1) / n, piecewise linear in logsnr between.

    So "discrete" is not a mode: DDPM's 1000 levels (2006.11239, section 4) are nodes of a continuous path.
    Below the first node the first segment is continued. Raises DifflabError for a beta outside of (0, 1).
    """

    def __init__(self, betas: Sequence[float] | Float[Tensor, " n"], t_max: int | float = 1.0) -> None:
        betas = torch.as_tensor(betas, dtype=torch.float64)
        outside = int((~((betas > 0) & (betas < 1))).sum())
        if len(betas) < 2 or outside:
            raise DifflabError(
                f"a table needs at least 2 betas, all between 0 and 1: got {len(betas)}, {outside} of them outside "
                "(a table that ends without signal is a difflab.reshaped.ZeroTerminalSnr over one that does not)"
            )
        super().__init__(t_min=1 / len(betas), t_max=t_max)
        log_alpha2 = torch.log1p(-betas).cumsum(0)
        self._logsnr = log_alpha2 - torch.log(-torch.expm1(log_alpha2))
        self._t = torch.arange(1, len(betas) + 1, dtype=torch.float64) / len(betas)

    def logsnr(self, t: Times) -> Level:
        return _interpolate(t, self._t, self._logsnr)

    def t_of_logsnr(self, logsnr: Level) -> Times:
        return _interpolate(-logsnr, -self._logsnr, self._t)

    def dlogsnr(self, t: Times) -> Level:
        """Constant between two nodes; at a node, the one of the segment that ends there."""
        return _slope(t.double(), self._t, self._logsnr)[0].to(t)


def linear_betas(beta_min: int | float, beta_max: int | float, levels: int) -> Float64[Tensor, " levels"]:
    """DDPM's betas (2006.11239), evenly spaced."""
    return torch.linspace(beta_min, beta_max, levels, dtype=torch.float64)


def scaled_linear_betas(beta_min: int | float, beta_max: int | float, levels: int) -> Float64[Tensor, " levels"]:
    """Stable Diffusion's betas, whose roots are evenly spaced (the code of 2112.10752)."""
    return linear_betas(beta_min**0.5, beta_max**0.5, levels) ** 2


def cosine_betas(levels: int, offset: int | float = 0.008, max_beta: int | float = 0.999) -> Float64[Tensor, " levels"]:
    """The betas of the cosine schedule, the last ones cut to max_beta: iDDPM (2102.09672) eq. 17."""
    angle = (torch.arange(levels + 1, dtype=torch.float64) / levels + offset) / (1 + offset) * math.pi / 2
    before, after = angle[:-1], angle[1:]
    # 1 - cos(after)^2 / cos(before)^2, without the cancellation at small angles.
    return ((after - before).sin() * (after + before).sin() / before.cos() ** 2).clamp(max=max_beta)


def _interpolate(x: Times, xs: Float[Tensor, " n"], ys: Float[Tensor, " n"]) -> Times:
    """Piecewise linear through (xs, ys), xs rising; the end segments are continued outside.

    In float64, since a float32 node next to t = 1 is off by 1e-4 segments of a thousand.
    """
    slope, x0, y0 = _slope(x.double(), xs, ys)
    return (y0 + (x.double() - x0) * slope).to(x)


def _slope(
    x: Float64[Tensor, "*b"], xs: Float64[Tensor, " n"], ys: Float64[Tensor, " n"]
) -> tuple[Float64[Tensor, "*b"], Float64[Tensor, "*b"], Float64[Tensor, "*b"]]:
    """Slope and left node (x0, y0) of the segment that each x is on."""
    xs, ys = xs.to(x), ys.to(x)
    i = torch.searchsorted(xs, x.contiguous()).clamp(1, len(xs) - 1)
    return (ys[i] - ys[i - 1]) / (xs[i] - xs[i - 1]), xs[i - 1], ys[i - 1]
