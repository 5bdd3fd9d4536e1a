"""All figures of a set of samples from one pass of the extractor."""

from functools import cached_property

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from difflab import rng
from difflab.errors import DifflabError
from difflab.metrics.extractor import Extractor, features
from difflab.metrics.frechet import Gaussian, distance
from difflab.metrics.kid import kid
from difflab.metrics.protocol import Entry, Figure
from difflab.metrics.reference import Pictures, Reference, reference
from difflab.progress import Bars, silent


class Suite:
    """Scores samples against a reference set; the reference is found or computed when it is first needed.

    Args:
        extractor: what turns pictures into features.
        reference: the real pictures, such as the training split.
        reference_name: what protocols call them, such as "fashion_mini/train".
        seed: of KID's subsets (and of the choice in `floor`); no global randomness is read or moved.
        kid_subsets: subsets that KID is averaged over.
        kid_subset_size: pictures in each; cut to the smaller set, which the protocol then says.
        bars: opens a bar for each pass, such as `difflab.progress.images_bar`.

    Raises:
        DifflabError: a reference of fewer than 2 pictures.
    """

    def __init__(
        self,
        extractor: Extractor,
        reference: Pictures,
        reference_name: str,
        seed: int,
        kid_subsets: int = 50,
        kid_subset_size: int = 500,
        bars: Bars = silent,
    ) -> None:
        if len(reference.pixels) < 2:
            raise DifflabError(f"reference {reference_name} has {len(reference.pixels)} pictures, 2 are needed")
        self.extractor, self.pictures, self.reference_name = extractor, reference, reference_name
        self.seed, self.kid_subsets, self.kid_subset_size = seed, kid_subsets, kid_subset_size
        self.bars = bars

    @cached_property
    def reference(self) -> Reference:
        """Features and moments of the reference pictures."""
        return reference(self.extractor, self.pictures, self.bars)

    @cached_property
    def _real(self) -> Gaussian:
        return Gaussian.of_moments(self.reference.mean, self.reference.cov)

    def score(self, images: UInt8[Tensor, "n c h w"], protocol: dict[str, Entry]) -> list[Figure]:
        """Frechet distance and KID of `images`; `protocol` says how they were made (sampler, nfe, ema ...).

        Raises:
            DifflabError: fewer than 2 pictures.
        """
        if len(images) < 2:
            raise DifflabError(f"figures need 2 pictures or more, here {len(images)}: raise metrics.n")
        made = features(self.extractor, images, self.bars, "sample features")
        protocol = self._protocol(len(images)) | protocol
        return [self._frechet(made, protocol), self._kid(made, protocol)]

    def floor(self, real: UInt8[Tensor, "m c h w"], n: int, name: str) -> list[Figure]:
        """The figures of `n` real pictures that are not in the reference: what perfect samples would score.

        `n` seeded draws out of `real`, or all of it where it holds fewer: the protocol's n tells.
        """
        order = torch.randperm(len(real), generator=rng.generator(self.seed, "floor"))
        return self.score(real[order[:n]], {"source": name})

    def _protocol(self, n: int) -> dict[str, Entry]:
        return {
            "n": n,
            "reference": self.reference_name,
            "reference_n": len(self.pictures.pixels),
            "reference_digest": self.pictures.digest(),
            "extractor": self.extractor.name,
            "weights_sha256": self.extractor.weights_sha256,
            "resize": self.extractor.resize,
            "seed": self.seed,
        }

    def _frechet(self, made: Float32[Tensor, "n d"], protocol: dict[str, Entry]) -> Figure:
        n, d = made.shape
        if n < d:
            bias = f"n={n} is below the {d} features, so the distance is far too high: compare at equal n only"
            protocol = protocol | {"warning": bias}
        return Figure(self.extractor.prefix, distance(self._real, Gaussian.of_features(made)), None, protocol)

    def _kid(self, made: Float32[Tensor, "n d"], protocol: dict[str, Entry]) -> Figure:
        generator = rng.generator(self.seed, "kid")
        found = kid(self.reference.features, made, self.kid_subsets, self.kid_subset_size, generator)
        name = "kid" if self.extractor.prefix == "fid" else f"kid_{self.extractor.name}"
        drawn: dict[str, Entry] = {"kid_subsets": found.subsets, "kid_subset_size": found.subset_size}
        return Figure(name, found.mean, found.std, protocol | drawn)
