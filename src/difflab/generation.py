"""Pictures out of a denoiser: sample i depends on (seed, i) alone, whatever batch it is made in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from difflab.denoiser import Denoise, Pictures
from difflab.grids import Nodes
from difflab.pixels import to_uint8
from difflab.progress import images_bar
from difflab.rng import SampleNoise
from difflab.samplers import Sampler, Step, last, run


@dataclass(frozen=True)
class Generation:
    """A sampler on a grid, for pictures of one shape; `protocol` is how its figures name it."""

    sampler: Sampler
    nodes: Nodes
    shape: Sequence[int]
    protocol: dict[str, Any]

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
                x = last(self.steps(denoise, seed, indices[start : start + batch], device))
                yield to_uint8(x).cpu()
                advance(len(x))

    def steps(
        self, denoise: Denoise, seed: int, indices: Sequence[int], device: torch.device | str = "cpu"
    ) -> Iterator[Step]:
        """One batch, step by step from noise to pictures."""
        like = torch.zeros(len(indices), *self.shape, device=device)
        return run(self.sampler, denoise, self.nodes, SampleNoise(seed, indices), like)

    def nfe(self) -> int:
        """Evaluations of the denoiser for each picture: counted on a run of the sampler, not declared."""
        calls = 0

        def denoise(x: Pictures, alpha: Tensor, sigma: Tensor) -> Pictures:
            nonlocal calls
            calls += 1
            return torch.zeros_like(x)

        last(self.steps(denoise, 0, [0]))
        return calls

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
        yield to_uint8(noise / 3).cpu()
        n = len(self.nodes)
        shown = {round((i + 1) * n / min(n, frames)) for i in range(min(n, frames))}
        for i, step in enumerate(self.steps(denoise, seed, indices, device), start=1):
            if i in shown:
                yield to_uint8(step.x / (self.nodes.alpha[i] + 3 * self.nodes.sigma[i])).cpu()
