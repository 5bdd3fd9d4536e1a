"""All figures of a set of samples from one pass of the extractor."""

import logging
from collections.abc import Collection, Mapping
from functools import cached_property

from jaxtyping import UInt8
from torch import Tensor

from difflab.errors import DifflabError
from difflab.metrics.extractor import Extractor, Reading, read
from difflab.metrics.measure import LeftOut, Measure, Value
from difflab.metrics.protocol import Entry, Figure
from difflab.metrics.reference import Real, Reference
from difflab.progress import Bars, silent

log = logging.getLogger(__name__)


class Suite:
    """Scores samples against a reference set; the reference is found or computed when it is first needed.

    Args:
        extractor: what turns pictures into features.
        real: where the reference comes from, such as the training split.
        measures: what is measured, by names that only the configuration reads.
        seed: of every draw of the measures; no global randomness is read or moved.
        bars: opens a bar for each pass, such as `difflab.progress.images_bar`.
    """

    def __init__(
        self, extractor: Extractor, real: Real, measures: Mapping[str, Measure], seed: int, bars: Bars = silent
    ) -> None:
        self.extractor, self.real, self.measures = extractor, real, measures
        self.seed, self.bars = seed, bars

    @cached_property
    def reference(self) -> Reference:
        """Features and moments of the reference."""
        return self.real.load(self.extractor, self.bars)

    def score(self, images: UInt8[Tensor, "n c h w"], protocol: Mapping[str, Entry]) -> list[Figure]:
        """Every figure of `images`; `protocol` says how they were made (sampler, nfe, ema ...).

        Raises:
            DifflabError: fewer than 2 pictures.
        """
        check_enough(len(images))
        return self.figures(read(self.extractor, images, self.bars, "sample features"), protocol)

    def figures(
        self, made: Reading, protocol: Mapping[str, Entry], only: Collection[str] | None = None
    ) -> list[Figure]:
        """Every figure of samples that the extractor has read, or those of the measures `only`.

        Raises:
            DifflabError: fewer than 2 pictures.
        """
        check_enough(len(made.features))
        shared = self.protocol(len(made.features)) | dict(protocol)
        measures = [measure for name, measure in self.measures.items() if only is None or name in only]
        return [self._figure(value, shared) for measure in measures for value in self._values(measure, made)]

    def name_of(self, value: str) -> str:
        """What the figure of a value such as "fd" is called."""
        return self.extractor.names.get(value, f"{value}_{self.extractor.name}")

    def protocol(self, n: int) -> dict[str, Entry]:
        """What the figures of any n pictures have in common."""
        return {
            "n": n,
            **self.real.protocol(),
            "extractor": self.extractor.name,
            "weights_sha256": self.extractor.weights_sha256,
            "resize": self.extractor.resize,
            "seed": self.seed,
        }

    def _values(self, measure: Measure, made: Reading) -> list[Value]:
        try:
            return list(measure(made, self.reference, self.seed))
        except LeftOut as reason:
            log.warning("%s (extractor %s)", reason, self.extractor.name)
            return []

    def _figure(self, value: Value, shared: dict[str, Entry]) -> Figure:
        return Figure(self.name_of(value.name), value.value, value.error, shared | value.details)


def check_enough(n: int) -> None:
    """Raises DifflabError: one picture has no spread."""
    if n < 2:
        raise DifflabError(f"figures need 2 pictures or more, here {n}: raise n (metrics.n)")
