"""Samples and held-out real pictures, judged by the same yardsticks, in figures and in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, UInt8
from torch import Tensor

from difflab import rng
from difflab.errors import DifflabError
from difflab.metrics.measure import Value
from difflab.metrics.near_copies import Closeness, by_real, by_training, limit, nearer_than_real, rank_test, share
from difflab.metrics.protocol import Entry, Figure
from difflab.metrics.reference import Pictures
from difflab.metrics.spaces import Space, closeness
from difflab.progress import Bars, silent

CLEAR = 3.0  # standard deviations from which a difference is called one


@dataclass(frozen=True)
class Judged:
    """Samples beside real pictures that were not trained on, in one space.

    yardstick: the distances of half of the real pictures. others: those of the other half.
    """

    space: Space
    samples: Closeness
    real: Closeness
    yardstick: Float64[Tensor, "h"]
    others: Float64[Tensor, "i"]


def judge(
    space: Space,
    samples: UInt8[Tensor, "n c h w"],
    real: UInt8[Tensor, "m c h w"],
    train: Pictures,
    mirrored: bool,
    seed: int,
    bars: Bars = silent,
) -> Judged:
    """`real` is halved by `seed`: one half is the yardstick, the other is judged by it as the samples are.

    Raises:
        DifflabError: fewer than 2 real pictures, 2 training pictures or 1 sample.
    """
    if len(real) < 2 or len(samples) < 1:
        raise DifflabError(
            f"{len(samples)} samples and {len(real)} held-out pictures: novelty needs 1 and 2, since one half of the "
            "held-out pictures is the yardstick of the other (data.source.val_fraction says how many are held out)"
        )
    found, held_out = (closeness(space, images, train, mirrored, bars) for images in (samples, real))
    order = torch.randperm(len(real), generator=rng.generator(seed, "yardstick"))
    one, other = order.tensor_split(2)
    return Judged(space, found, held_out, held_out.distance[one], held_out.distance[other])


def figures(
    judged: Sequence[Judged], quantile: float, made: Mapping[str, Entry], real: Mapping[str, Entry]
) -> list[Figure]:
    """Every figure of the samples, then of the real pictures; `made` and `real` are their protocols."""
    sides = [(made, one, one.samples, one.samples.distance) for one in judged]
    sides += [(real, one, one.real, one.others) for one in judged]
    return [
        Figure(
            f"{value.name}_{one.space.name}",
            value.value,
            value.error,
            {**protocol, **one.space.protocol(), **value.details},
        )
        for protocol, one, pictures, distance in sides
        for value in _values(one, pictures, distance, quantile)
    ]


def _values(judged: Judged, pictures: Closeness, distance: Float64[Tensor, "n"], quantile: float) -> list[Value]:
    exact = [share("exact_copies", pictures.distance == 0)] if judged.space.exact else []
    return [*exact, *by_training(pictures), *by_real(distance, judged.yardstick, quantile)]


def words(judged: Sequence[Judged], quantile: float) -> list[str]:
    """What came, a line each."""
    exact = [_line("exact copies", one, one.samples.distance == 0, one.real.distance == 0) for one in judged
             if one.space.exact]  # fmt: skip
    return exact + [line for one in judged for line in _of_one_space(one, quantile)]


def _of_one_space(one: Judged, quantile: float) -> list[str]:
    out = [_line("near-copies", one, one.samples.near_copy, one.real.near_copy)]
    if found := limit(one.yardstick, quantile):
        reach, expected = found
        what = f"as near as the nearest {_percent(expected)} of real ones"
        out.append(_line(what, one, one.samples.distance <= reach, one.others <= reach))
    return [*out, f"{one.space.name}: {_verdict(one)}"]


def _line(what: str, one: Judged, made: Bool[Tensor, "n"], real: Bool[Tensor, "m"]) -> str:
    left, right = share("", made), share("", real)
    more = left.value - right.value > CLEAR * math.hypot(left.error or 0.0, right.error or 0.0)
    verdict = ": MORE than among real ones" if more else ""
    of_samples, of_real = _count(made, left, "samples"), _count(real, right, "held-out real pictures")
    return f"{one.space.name}: {of_samples} are {what}; {of_real} are{verdict}"


def _count(hits: Bool[Tensor, "n"], found: Value, of: str) -> str:
    return f"{int(hits.sum()):,} of {len(hits):,} {of} ({_percent(found.value)} ± {_percent(found.error or 0.0)})"


def _percent(x: float) -> str:
    return f"{100 * x:.2g} %" if x < 0.995 else f"{100 * x:.0f} %"


def _verdict(one: Judged) -> str:
    z = rank_test(one.samples.distance, one.yardstick).z
    nearer = nearer_than_real(one.samples.distance, one.yardstick)
    figures = f"z = {z:.1f}, nearer in {_percent(nearer.value)} of pairs"
    if z < -CLEAR:
        return f"the samples lie nearer to training pictures than real ones do ({figures}): copied, or only smoother"
    if z > CLEAR:
        return f"the samples lie farther from training pictures than real ones do ({figures}): not copied, nor lifelike"
    return f"the samples lie as far from training pictures as real ones do ({figures})"
