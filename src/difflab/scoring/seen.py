"""What linear probes see in pictures, against what was asked for."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor

from difflab.data.image_data import ImageData
from difflab.data.images import Images
from difflab.metrics.extractor import Extractor
from difflab.metrics.measure import shortened
from difflab.metrics.near_copies import share
from difflab.metrics.probe import Probe, fit
from difflab.metrics.protocol import Entry, Figure
from difflab.metrics.reference import real_protocol, reference
from difflab.progress import Bars, silent
from difflab.scoring.attributes import shown


@dataclass(frozen=True)
class Words:
    """A probe that speaks: it sees one of `words` in each picture."""

    probe: Probe
    words: list[str]

    @staticmethod
    def learned(features: Float32[Tensor, "n d"], column: list[str]) -> "Words":
        """From pictures with these features, each of which shows its word of `column`."""
        words = sorted(set(column))
        return Words(fit(features, torch.tensor([words.index(word) for word in column]), len(words)), words)

    def __call__(self, features: Float32[Tensor, "n d"]) -> list[str]:
        return [self.words[i] for i in self.probe(features).tolist()]


@dataclass(frozen=True)
class Seen:
    """A probe for each attribute of the data's pictures, trained on the features of all training pictures."""

    data: ImageData
    read_by: Extractor
    probes: Mapping[str, Words]

    @staticmethod
    def by(read_by: Extractor, data: ImageData, bars: Bars = silent) -> "Seen":
        features = reference(read_by, data.train, bars).features
        assert features is not None
        probes = {name: Words.learned(features, column) for name, column in shown(data.train, data).items()}
        return Seen(data, read_by, probes)

    def figures(self, features: Float32[Tensor, "n d"], asked: Images, protocol: Mapping[str, Entry]) -> list[Figure]:
        """The share of pictures in which each probe sees what they were asked for: to be as those of `asked`.

        The error is over the pictures, the probes as they are. protocol: how the pictures were made.
        """
        return [self._figure(name, features, column, protocol) for name, column in shown(asked, self.data).items()]

    def _figure(
        self, name: str, features: Float32[Tensor, "n d"], column: list[str], protocol: Mapping[str, Entry]
    ) -> Figure:
        own = self.probes[name]
        hits = torch.tensor([seen == word for seen, word in zip(own(features), column, strict=True)])
        value = share(f"agreement_{name}_{self.read_by.name}", hits)
        train = self.data.train
        how = {
            **value.details,
            **real_protocol(f"{self.data.name}/train", len(train), train.digest(), flips=False),
            "extractor": self.read_by.name,
            "weights_sha256": self.read_by.weights_sha256,
            "resize": self.read_by.resize,
            "words": len(own.words),
            "penalty": shortened(own.probe.penalty),
        }
        return Figure(value.name, value.value, value.error, {**how, **protocol})
