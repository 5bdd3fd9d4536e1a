"""What is known of a picture: y = A x, with A a linear map, and the guess made to agree with it.

Holes, small pictures and grey pictures are one problem. A guess x0 keeps only what y says nothing of:

    A+ y + (x0 - A+ A x0)        with A A+ y = y

DDNM (2212.00490): range-null space decomposition. So A of the guess is y at every level, and the state in the measured
range is alpha A+ y + sigma noise, whatever the denoiser: a deterministic sampler keeps the noise it started with, an
ancestral step is a draw from the reverse chain of a picture that is known. Its law at each level is that of the
replacement method (2011.13456, imputation; RePaint 2201.09865, algorithm 1), which draws each level anew. RePaint's
resampling is a grid that goes up again, grid=time_travel.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import reduce, repeat
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from difflab.denoiser import Denoise, Pictures
from difflab.grids import Nodes
from difflab.guidance import Guidance
from difflab.pixels import to_uint8
from difflab.samplers import Noise


class Measurement(ABC):
    """A linear map A of pictures whose weights are 0 or more, and a right inverse A+ of it."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """A x."""

    @abstractmethod
    def inverse(self, y: Tensor) -> Tensor:
        """A+ y: a picture that measures y."""


@dataclass(frozen=True)
class KeptPixels(Measurement):
    """The pixels where `keep` is true; the others count as 0."""

    keep: Bool[Tensor, "h w"]

    def __call__(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return torch.where(self.keep.to(x.device), x, 0)

    def inverse(self, y: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return self(y)


@dataclass(frozen=True)
class AreaAverage(Measurement):
    """The picture made smaller by a whole `factor`: squares of factor x factor pixels become their mean."""

    factor: int

    def __call__(self, x: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c h w"]:
        return reduce(x, "b c (h p) (w q) -> b c h w", "mean", p=self.factor, q=self.factor)

    def inverse(self, y: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c H W"]:
        return repeat(y, "b c h w -> b c (h p) (w q)", p=self.factor, q=self.factor)


@dataclass(frozen=True)
class ChannelMean(Measurement):
    """The grey picture: the mean over the channels."""

    channels: int = 3

    def __call__(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w"]:
        return x.mean(1, keepdim=True)

    def inverse(self, y: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b c h w"]:
        return y.expand(-1, self.channels, -1, -1)


@dataclass(frozen=True)
class Consistency(Guidance):
    """Every guess made to measure `y`: one measurement for all rows, or one each."""

    measure: Measurement
    y: Float[Tensor, "#b k h w"]

    def change(self, x0: Pictures, x: Pictures, alpha: Tensor, sigma: Tensor) -> Pictures:
        # In this order what is measured by single pixels is exactly y.
        return self.measure.inverse(self.y.to(x0)) + (x0 - self.measure.inverse(self.measure(x0)))

    def start(self, nodes: Nodes) -> Callable[[Denoise, Noise, Pictures], Pictures]:
        """Pure noise on what is known: alpha A+ y + sigma noise."""

        def start(denoise: Denoise, noise: Noise, like: Pictures) -> Pictures:
            return nodes.alpha[0] * self.measure.inverse(self.y.to(like)) + nodes.sigma[0] * noise(like)

        return start

    def picture(self, x: Pictures) -> UInt8[Tensor, "b c h w"]:
        """0..255 that still measure y, to a rounding, though x may stick out of -1..1.

        A clamp(x + A+ c) rises with every number of c, so that bisection finds the c for which it is y.
        """
        y = self.y.to(x).expand(len(x), -1, -1, -1)
        high = torch.ones_like(y) * (1 + x.abs().max())
        low = -high
        for _ in range(40):
            c = (low + high) / 2
            under = self.measure((x + self.measure.inverse(c)).clamp(-1, 1)) < y
            low, high = torch.where(under, c, low), torch.where(under, high, c)
        return to_uint8(x + self.measure.inverse(high))
