"""Pictures out of a denoiser: sample i depends on (seed, i) alone, whatever batch it is made in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from difflab.conditions.asked import Asked
from difflab.conditions.base import Given
from difflab.denoiser import Denoise, Pictures
from difflab.grids import Nodes
from difflab.guidance import Guidance, NoGuidance
from difflab.latents.codec import Codec
from difflab.pixels import to_uint8
from difflab.progress import images_bar
from difflab.rng import SampleNoise
from difflab.samplers import Sampler, Step, last, run


@dataclass(frozen=True)
class Generation:
    """A sampler on a grid, for pictures of one shape; `protocol` is how its figures name it.

    With a codec the sampler works on its latents, of `shape`, and pictures are decoded from them.
    Every method takes the denoiser as it was trained; the guidance is applied here, and the condition `asked` for.
    """

    sampler: Sampler
    nodes: Nodes
    shape: Sequence[int]
    protocol: dict[str, Any]
    guidance: Guidance = field(default_factory=NoGuidance)
    asked: Asked | None = None
    codec: Codec | None = None

    def asking(self, asked: Asked | None) -> "Generation":
        """The same for what is asked for, which the protocol names."""
        named = {} if asked is None else {"condition": asked.name}
        return replace(self, asked=asked, protocol=self.protocol | named)

    def decoding(self, codec: Codec | None) -> "Generation":
        """The same on the latents of a codec, which the protocol names; None: on pixels."""
        named = {} if codec is None else {"latent": codec.name}
        return replace(self, codec=codec, protocol=self.protocol | named)

    def decoded(self, x: Tensor) -> Tensor:
        """The pixels, in [-1, 1], of a state that is as clean as data."""
        return x if self.codec is None else self.codec.decode(x)

    @torch.inference_mode()
    def batches(
        self,
        denoise: Denoise,
        seed: int,
        indices: Sequence[int],
        batch: int,
        device: torch.device | str = "cpu",
    ) -> Iterator[UInt8[Tensor, "b c h w"]]:
        """The pictures of the streams `indices` of `seed`, `batch` at a time, with a progress bar."""
        with images_bar("samples", len(indices)) as advance:
            for start in range(0, len(indices), batch):
                made = self.batch(denoise, seed, indices[start : start + batch], device)
                yield made
                advance(len(made))

    @torch.inference_mode()
    def batch(
        self, denoise: Denoise, seed: int, indices: Sequence[int], device: torch.device | str = "cpu"
    ) -> UInt8[Tensor, "b c h w"]:
        """The pictures of the streams `indices` of `seed`, at once."""
        return to_uint8(self.decoded(last(self.steps(denoise, seed, indices, device)))).cpu()

    def steps(
        self, denoise: Denoise, seed: int, indices: Sequence[int], device: torch.device | str = "cpu"
    ) -> Iterator[Step]:
        """One batch, step by step from noise to pictures."""
        like = torch.zeros(len(indices), *self.shape, device=device)
        given = None if self.asked is None else self.asked(seed, indices).to(device)
        return run(self.sampler, self.guidance.of(denoise, given), self.nodes, SampleNoise(seed, indices), like)

    def nfe(self, learns_variance: bool = False) -> int | None:
        """Evaluations of the denoiser for each picture: counted on runs of the sampler, not declared.

        None where they depend on the denoiser (an adaptive sampler), so that two toys disagree. Raises DifflabError
        where the sampler needs a variance and the denoiser has none.
        """
        still, wavy = (self._evaluations(_Toy(swing, learns_variance)) for swing in (0.0, 10.0))
        return still if still == wavy else None

    def _evaluations(self, toy: "_Toy") -> int:
        guidance = self.guidance.bound(lambda nimg: (nimg or 0, toy))  # the weaker denoiser counts as well
        last(replace(self, guidance=guidance).steps(toy, 0, [0]))
        return toy.calls

    @torch.inference_mode()
    def film(
        self,
        denoise: Denoise,
        seed: int,
        indices: Sequence[int],
        device: torch.device | str = "cpu",
        frames: int = 40,
    ) -> Iterator[UInt8[Tensor, "b c h w"]]:
        """At most `frames` states from pure noise to pictures, each scaled to the range of its own level."""
        noise = SampleNoise(seed, indices)(torch.zeros(len(indices), *self.shape, device=device))
        yield to_uint8(self.decoded(noise / 3)).cpu()
        n = len(self.nodes)
        shown = {round((i + 1) * n / min(n, frames)) for i in range(min(n, frames))}
        for i, step in enumerate(self.steps(denoise, seed, indices, device), start=1):
            if i in shown:
                scaled = step.x / (self.nodes.alpha[i] + 3 * self.nodes.sigma[i])
                yield to_uint8(self.decoded(scaled)).cpu()


@dataclass
class _Toy:
    """A grey guess that swings ten times on the way down, and counts its calls."""

    swing: float
    learns_variance: bool
    calls: int = 0

    def __call__(self, x: Pictures, alpha: Tensor, sigma: Tensor) -> Pictures:
        self.calls += 1
        return torch.zeros_like(x) + self.swing * (40 * torch.atan2(sigma, alpha)).cos().to(x)

    def given(self, given: Given) -> "_Toy":
        return self

    def with_variance(self, x: Pictures, alpha: Tensor, sigma: Tensor) -> tuple[Pictures, Pictures]:
        return self(x, alpha, sigma), torch.zeros_like(x)
