"""Is it new? Figures of how near pictures are to the training pictures, next to how near real pictures are.

Every one needs a yardstick that is no matter of taste: the training pictures around the copied one (`near_copies`,
`authenticity`), or real pictures that were never trained on (`copying_z`, `close`).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from difflab.metrics.measure import Value
from difflab.metrics.neighbours import Nearest

AROUND = 50
RELATIVE = 0.5


@dataclass(frozen=True)
class Closeness:
    """How near n pictures are to the training pictures in one space.

    near: the nearest training pictures, up to AROUND. own: how far the first of them is from its own nearest other one.
    """

    near: Nearest
    own: Float64[Tensor, "n"]

    def __len__(self) -> int:
        return len(self.own)

    @property
    def distance(self) -> Float64[Tensor, "n"]:
        """To the nearest training picture."""
        return self.near.distance[:, 0].contiguous()

    @property
    def relative(self) -> Float64[Tensor, "n"]:
        """`distance` over the mean of the AROUND nearest: 0 for a copy, about 1 where all are equally far."""
        around = self.near.distance.mean(1)
        return torch.where(around > 0, self.distance / around, 0.0)

    @property
    def near_copy(self) -> Bool[Tensor, "n"]:
        """At most half as far as the AROUND nearest are on average (Carlini et al. 2023, section 5, alpha = 0.5)."""
        return self.relative <= RELATIVE

    @property
    def authentic(self) -> Bool[Tensor, "n"]:
        """Farther from its nearest training picture than that is from its own nearest (Alaa et al. 2022, section 4)."""
        return self.distance > self.own

    def select(self, index: Int64[Tensor, "m"]) -> "Closeness":
        return Closeness(Nearest(*(part[index] for part in self.near)), self.own[index])


def share(name: str, hits: Bool[Tensor, "n"], **details: str | int | float) -> Value:
    """The share of hits, and its standard error by Laplace's rule of succession: not 0 where nothing or all was hit."""
    n, k = len(hits), int(hits.sum())
    p = (k + 1) / (n + 2)
    return Value(name, k / n, math.sqrt(p * (1 - p) / (n + 3)), {"n": n, **details})


class RankTest(NamedTuple):
    """z below 0: the first are smaller. p: the chance of a z as low or lower where nothing differs."""

    z: float
    p: float


def rank_test(x: Float64[Tensor, "n"], y: Float64[Tensor, "m"]) -> RankTest:
    """Mann & Whitney's U of x against y, its normal approximation corrected for ties."""
    n, m = len(x), len(y)
    _, rank_of, counts = torch.cat([x, y]).unique(return_inverse=True, return_counts=True)
    ranks = (counts.cumsum(0) - (counts - 1) / 2)[rank_of].double()  # tied values share their mean rank
    u = ranks[:n].sum().item() - n * (n + 1) / 2
    ties = (counts.double() ** 3 - counts).sum().item() / ((n + m) * (n + m - 1))
    spread = math.sqrt(n * m / 12 * (n + m + 1 - ties))
    z = (u - n * m / 2) / spread if spread else 0.0
    return RankTest(z, math.erfc(-z / math.sqrt(2)) / 2)


def copying_z(distance: Float64[Tensor, "n"], real: Float64[Tensor, "m"]) -> Value:
    """Meehan et al. 2020, A non-parametric test to detect data-copying, section 3: far below 0 says copied.

    Its standard deviation is 1 where samples are as far from the training pictures as real pictures are.
    """
    test = rank_test(distance, real)
    return Value("copying_z", test.z, 1.0, {"n": len(distance), "yardstick_n": len(real), "p": test.p})


def nearer_than_real(distance: Float64[Tensor, "n"], real: Float64[Tensor, "m"]) -> Value:
    """The chance that a sample is nearer to the training pictures than a real picture is, a tie counting half.

    1/2 says no difference. It is what `copying_z` tests, and does not grow with n as z does.
    """
    ordered = real.sort().values
    below, up_to = (torch.searchsorted(ordered, distance, right=right) for right in (False, True))
    chance = 1 - (below + up_to).double() / (2 * len(real))
    error = (chance.std(correction=0) / math.sqrt(max(1, len(distance) - 1))).item()
    return Value("nearer_than_real", chance.mean().item(), error, {"n": len(distance), "yardstick_n": len(real)})


def limit(real: Float64[Tensor, "m"], quantile: float) -> tuple[float, float] | None:
    """The distance within which another real picture falls with a chance of at most `quantile`, and that chance.

    Below the k-th smallest of m is another with chance k / (m + 1), whatever the distribution, if no two tie.
    None: m is too small.
    """
    k = math.floor(quantile * (len(real) + 1) + 1e-9)  # 0.05 * 20 is a hair above 1
    return (real.kthvalue(k).values.item(), k / (len(real) + 1)) if k else None


def close(distance: Float64[Tensor, "n"], real: Float64[Tensor, "m"], quantile: float) -> Value | None:
    """The share within the `limit`."""
    found = limit(real, quantile)
    if found is None:
        return None
    reach, expected = found
    return share("close", distance <= reach, yardstick_n=len(real), limit=reach, expected=expected)


def by_training(pictures: Closeness) -> list[Value]:
    """Figures whose yardstick is the training pictures themselves."""
    return [
        share("near_copies", pictures.near_copy, around=pictures.near.rows.shape[1], relative=RELATIVE),
        share("authenticity", pictures.authentic),
    ]


def by_real(distance: Float64[Tensor, "n"], real: Float64[Tensor, "m"], quantile: float) -> list[Value]:
    """Figures whose yardstick is the distances of other, real pictures; `close` only where those are enough."""
    found = close(distance, real, quantile)
    return [nearer_than_real(distance, real), copying_z(distance, real), *([found] if found else [])]
