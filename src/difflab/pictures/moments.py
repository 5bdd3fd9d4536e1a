"""Are the many small steps the same as one jump? The distributions of both, measured, beside the closed form."""

import math
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from difflab.denoiser import Pictures
from difflab.pictures.chain import chain, jump
from difflab.pictures.levels import Level
from difflab.pictures.subject import Subject
from difflab.progress import images_bar

LEVELS = 20  # at which is measured, besides those of `at`
BINS = torch.linspace(-4, 4, 65, dtype=torch.float64)  # of eps, in standard deviations
WAYS = ("chain", "jump")


class Both(NamedTuple):
    """States of one level, made in two ways from the same pictures with noise of their own."""

    level: Level
    chain: Pictures
    jump: Pictures


def both_ways(subject: Subject) -> Iterator[Both]:
    """Both at every level that is measured."""
    ladder, x0 = subject.ladder, subject.x0
    steps = {*ladder.spread(LEVELS + 1), *subject.at} - {0}
    with images_bar("chain, measured", ladder.last * len(x0)) as advance:
        for level, x in chain(ladder, x0, subject.noise("markov", len(x0))):
            if level.step in steps:
                yield Both(level, x, jump(x0, subject.noise(f"jump {level.step}", len(x0))(x0), level))
            advance(len(x) if level.step else 0)


def moments(both: Both, x0: Pictures) -> dict[str, float]:
    """Mean and variance of x_t over all pixels of all pictures, both ways, beside the closed form.

    `mean_error` and `var_error` are the standard errors of the Monte Carlo. Given x0, x_t is normal with mean alpha x0
    and variance sigma^2: so the mean of M values has the variance sigma^2 / M, and the mean of their squared distances
    from alpha mean(x0) has (2 sigma^4 + 4 alpha^2 sigma^2 var(x0)) / M.
    """
    start, m = x0.double(), x0.numel()
    alpha, sigma, var0 = both.level.alpha.item(), both.level.sigma.item(), start.var(correction=0).item()
    centre = alpha * start.mean().item()
    found = {"closed_mean": centre, "closed_var": alpha**2 * var0 + sigma**2}
    for way in WAYS:
        x = getattr(both, way).double()
        found |= {f"{way}_mean": x.mean().item(), f"{way}_var": (x - centre).square().mean().item()}
    errors = math.sqrt(sigma**2 / m), math.sqrt((2 * sigma**4 + 4 * alpha**2 * sigma**2 * var0) / m)
    return found | dict(zip(("mean_error", "var_error"), errors, strict=True))


def farthest(levels: list[dict[str, Any]]) -> float:
    """The largest distance of a measured moment from its closed form, in standard errors."""
    return max(
        abs(level[f"{way}_{key}"] - level[f"closed_{key}"]) / level[f"{key}_error"]
        for level, way, key in product(levels, WAYS, ("mean", "var"))
    )


def histogram(x: Pictures, x0: Pictures, level: Level) -> Float64[Tensor, " bins"]:
    """The density of (x_t - alpha x0) / sigma over BINS, which is the standard normal one."""
    eps = ((x - level.alpha * x0) / level.sigma).double().flatten().cpu()
    return torch.histogram(eps, BINS).hist / (eps.numel() * BINS.diff())
