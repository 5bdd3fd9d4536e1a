"""What a figure is computed by: a measure of the samples' reading against a reference."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from difflab.metrics.extractor import Reading
from difflab.metrics.protocol import Entry
from difflab.metrics.reference import Reference


@dataclass(frozen=True)
class Value:
    """One number of a measure; the suite makes a figure of it.

    `error` is its standard error over the samples, the reference taken as given. `details` join the protocol:
    the measure's own numbers, and `warning` where the value is known to mislead.
    """

    name: str
    value: float
    error: float | None
    details: dict[str, Entry] = field(default_factory=dict)


def shortened(number: float) -> float:
    """Four digits of a number for the details, which are printed."""
    return float(f"{number:.4g}")


@runtime_checkable
class Measure(Protocol):
    """Raises LeftOut where extractor or reference lack what it needs, DifflabError for too few pictures.

    Sums in float64; any randomness is drawn from `rng.generator(seed, <its name>)`.
    """

    def __call__(self, made: Reading, real: Reference, seed: int) -> Sequence[Value]: ...


class LeftOut(Exception):  # noqa: N818 - it is no error
    """A figure that cannot be had here, and why: said once, not an error."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name} is left out: {why}")
