"""Guidance: functions denoiser -> denoiser, defined once, on the guess of x0.

At fixed x the guess is affine in what a network predicts, and the weights of u + w (c - u) sum to 1: taken in x0, eps,
v or score space it is the same picture. Guidances compose: Clip()(ClassifierFree(3.0, unconditional)(conditional)).
classifier_guidance.py has the one of a classifier, thresholding.py those that keep the guess in the range of pixels.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from difflab.around import Around, WithVariance
from difflab.conditions.base import Given
from difflab.denoiser import Denoise, Pictures
from difflab.errors import DifflabError

Change = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(x0, x, alpha, sigma) -> the guess in the place of x0."""

Snapshots = Callable[[int | None], tuple[int, Denoise]]
"""The denoiser that a run kept at so many images (None: its earliest), with that number."""


@dataclass(frozen=True)
class Guided(Around):
    """The denoiser `main` with its guess changed; its variance is main's own."""

    main: Denoise
    change: Change

    def __call__(self, x: Pictures, alpha: Tensor, sigma: Tensor) -> Pictures:
        return self.change(self.main(x, alpha, sigma), x, alpha, sigma)

    def around(self, main: WithVariance, x: Pictures, alpha: Tensor, sigma: Tensor) -> tuple[Pictures, Pictures]:
        x0, fraction = main(x, alpha, sigma)
        return self.change(x0, x, alpha, sigma), fraction


class Guidance(ABC):
    """Applied to a denoiser it gives the guided one; its repr is how a protocol names it."""

    @abstractmethod
    def change(self, x0: Pictures, x: Pictures, alpha: Tensor, sigma: Tensor) -> Pictures:
        """The guess in the place of x0, the denoiser's own for x."""

    def __call__(self, main: Denoise) -> Denoise:
        return Guided(main, self.change)

    def of(self, denoise: Denoise, given: Given | None) -> Denoise:
        """`denoise` on a condition of each row (None: of a run without one), guided."""
        return self(conditioned(denoise, given))

    def bound(self, snapshots: Snapshots) -> "Guidance":
        """This guidance with what it needs of a run besides the denoiser that it guides."""
        del snapshots
        return self


def conditioned(denoise: Denoise, given: Given | None) -> Denoise:
    return denoise if given is None else denoise.given(given)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class NoGuidance(Guidance):
    def change(self, x0: Pictures, x: Pictures, alpha: Tensor, sigma: Tensor) -> Pictures:
        return x0


def _itself(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    raise DifflabError("classifier-free guidance has no unconditional denoiser yet: take guidance.of(denoiser, given)")


@dataclass(frozen=True)
class ClassifierFree(Guidance):
    """other + scale (main - other), where other is unconditional: 2207.12598 eq. 6 with w = scale - 1.

    The other one is the denoiser itself without its condition, unless it is named. Scale 1 is the main denoiser, and
    so is every level outside lo < sigma_hat <= hi (2404.07724, section 3); neither evaluates the other one. `rescale`
    is phi of 2305.08891 eq. 15-16, here on x0: at alpha = 0, where it matters most, their v is -x0.
    """

    scale: int | float
    other: Denoise = field(default=_itself, repr=False)
    interval: Sequence[Any] = (0.0, math.inf)  # a configuration's list may hold anything
    rescale: int | float = 0.0

    def __post_init__(self) -> None:
        numbers = all(isinstance(edge, int | float) for edge in self.interval)
        if len(self.interval) != 2 or not numbers or not 0 <= self.interval[0] < self.interval[1]:
            raise DifflabError(
                f"guidance.interval={list(self.interval)}: two levels of sigma/alpha, the lower one first, "
                "such as [0.3,2.0] (inf: no upper end)"
            )
        if not 0 <= self.rescale <= 1:
            raise DifflabError(f"guidance.rescale={self.rescale}: a share from 0 (off) to 1")

    def of(self, denoise: Denoise, given: Given | None) -> Denoise:
        other = denoise if self.other is _itself else self.other
        return replace(self, other=other)(conditioned(denoise, given))

    def change(self, x0: Pictures, x: Pictures, alpha: Tensor, sigma: Tensor) -> Pictures:
        lo, hi = self.interval
        inside = (lo < sigma / alpha) & (sigma / alpha <= hi)
        if self.scale == 1 or not inside.any():
            return x0
        other = self.other(x, alpha, sigma)
        guided = other + self.scale * (x0 - other)
        if self.rescale > 0:
            guided = self.rescale * _with_deviation_of(x0, guided) + (1 - self.rescale) * guided
        return torch.where(inside.to(x.device), guided, x0)


def _no_weaker_one(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    raise DifflabError("autoguidance has no weaker denoiser yet: take guidance.bound(snapshots)")


@dataclass(frozen=True)
class Autoguidance(ClassifierFree):
    """The same, away from the run's own weaker self: its averaged weights at `snapshot` images (2406.02507)."""

    other: Denoise = field(default=_no_weaker_one, repr=False)
    snapshot: Any = None  # int | None, and a null of a configuration may become anything

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.snapshot is None or isinstance(self.snapshot, int)):
            raise DifflabError(f"guidance.snapshot={self.snapshot}: images seen, or null for the earliest snapshot")

    def of(self, denoise: Denoise, given: Given | None) -> Denoise:
        """The weaker one has the condition as well."""
        return replace(self, other=conditioned(self.other, given))(conditioned(denoise, given))

    def bound(self, snapshots: Snapshots) -> Guidance:
        nimg, weaker = snapshots(self.snapshot)
        return replace(self, snapshot=nimg, other=weaker)


def _with_deviation_of(x0: Pictures, guided: Pictures) -> Pictures:
    """`guided` times a factor a picture, so that its pixels deviate as much as those of x0.

    A picture of one grey has nothing but rounding to deviate by, and stays.
    """
    wanted, found = _deviation(x0), _deviation(guided)
    return guided * torch.where(found > 1e-6, wanted / found, 1)


def _deviation(x: Pictures) -> Float[Tensor, "b ..."]:
    return x.std(dim=tuple(range(1, x.ndim)), correction=0, keepdim=True)
