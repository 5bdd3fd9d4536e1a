"""All figures of a set of samples from one pass of the extractor."""

import logging
from collections.abc import Mapping
from functools import cached_property

import torch
from jaxtyping import UInt8
from torch import Tensor

from difflab import rng
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
        seed: of every draw of the measures (and of the choice in `floor`); no global randomness is read or moved.
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

    def figures(self, made: Reading, protocol: Mapping[str, Entry]) -> list[Figure]:
        """Every figure of samples that the extractor has read.

        Raises:
            DifflabError: fewer than 2 pictures.
        """
        check_enough(len(made.features))
        shared = self._protocol(len(made.features)) | dict(protocol)
        return [
            self._figure(value, shared) for measure in self.measures.values() for value in self._values(measure, made)
        ]

    def floor(self, real: UInt8[Tensor, "m c h w"], n: int, name: str) -> list[Figure]:
        """The figures of `n` real pictures that are not in the reference: what perfect samples would score.

        `n` seeded draws out of `real`, or all of it where it holds fewer: the protocol's n tells.
        """
        order = torch.randperm(len(real), generator=rng.generator(self.seed, "floor"))
        return self.score(real[order[:n]], {"source": name})

    def _values(self, measure: Measure, made: Reading) -> list[Value]:
        try:
            return list(measure(made, self.reference, self.seed))
        except LeftOut as reason:
            log.warning("%s (extractor %s)", reason, self.extractor.name)
            return []

    def _figure(self, value: Value, shared: dict[str, Entry]) -> Figure:
        name = self.extractor.names.get(value.name, f"{value.name}_{self.extractor.name}")
        return Figure(name, value.value, value.error, shared | value.details)

    def _protocol(self, n: int) -> dict[str, Entry]:
        return {
            "n": n,
            **self.real.protocol(),
            "extractor": self.extractor.name,
            "weights_sha256": self.extractor.weights_sha256,
            "resize": self.extractor.resize,
            "seed": self.seed,
        }


def check_enough(n: int) -> None:
    """Raises DifflabError: one picture has no spread."""
    if n < 2:
        raise DifflabError(f"figures need 2 pictures or more, here {n}: raise metrics.n")
