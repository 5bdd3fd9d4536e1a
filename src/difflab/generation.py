"""Pictures out of a denoiser: sample i depends on (seed, i) alone, whatever batch it is made in."""

from collections.abc import Callable, Iterator, Sequence
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
from difflab.pixels import to_model, to_uint8
from difflab.progress import images_bar
from difflab.rng import SampleNoise
from difflab.samplers import Sampler, Step, is_adaptive, pure_noise, run

Start = Callable[[Denoise, SampleNoise, Tensor], Tensor]
"""(denoise, noise, like) -> the state at the grid's first node, in the shape, dtype and device of `like`."""


def _unchanged(denoise: Denoise) -> Denoise:
    return denoise


@dataclass(frozen=True)
class Generation:
    """A sampler on a grid, for pictures of one shape; `protocol` is how its figures name it.

    A task (see tasks/) is another generation: `wrap` changes the guided denoiser, `start` begins elsewhere than in
    pure noise, `finish` makes 0..255 of the last state.
    With a codec the sampler works on its latents, of `shape`, and pictures are decoded from them.
    Every method takes the denoiser as it was trained; the guidance is applied here, and the condition `asked` for.
    """

    sampler: Sampler
    nodes: Nodes
    shape: Sequence[int]
    protocol: dict[str, Any]
    guidance: Guidance = field(default_factory=NoGuidance)
    asked: Asked | None = None
    wrap: Callable[[Denoise], Denoise] = _unchanged
    start: Start | None = None
    finish: Callable[[Tensor], Tensor] = to_uint8
    codec: Codec | None = None

    def asking(self, asked: Asked | None) -> "Generation":
        """The same for what is asked for, which the protocol names."""
        named = {} if asked is None else {"condition": asked.name}
        return replace(self, asked=asked, protocol=self.protocol | named)

    def decoding(self, codec: Codec | None) -> "Generation":
        """The same on the latents of a codec, which the protocol names; None: on pixels."""
        named = {} if codec is None else {"latent": codec.name}
        return replace(self, codec=codec, protocol=self.protocol | named)

    def encoded(self, pictures: UInt8[Tensor, "b c h w"], like: Tensor) -> Pictures:
        """Pictures as the sampler works on them, in the dtype and on the device of `like`."""
        return (to_model(pictures) if self.codec is None else self.codec.encode(pictures.to(like.device))).to(like)

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
        *_, x = self.states(denoise, seed, indices, device)
        return self.finish(self.decoded(x)).cpu()

    def steps(
        self, denoise: Denoise, seed: int, indices: Sequence[int], device: torch.device | str = "cpu"
    ) -> Iterator[Step]:
        """One batch, step by step from noise to pictures."""
        return self._begun(denoise, seed, indices, device)[1]

    def states(
        self, denoise: Denoise, seed: int, indices: Sequence[int], device: torch.device | str = "cpu"
    ) -> Iterator[Pictures]:
        """One batch at every node of the grid, the first one included."""
        start, steps = self._begun(denoise, seed, indices, device)
        yield start
        yield from (step.x for step in steps)

    def _begun(
        self, denoise: Denoise, seed: int, indices: Sequence[int], device: torch.device | str
    ) -> tuple[Pictures, Iterator[Step]]:
        """The state at the first node, and the steps from there."""
        if is_adaptive(self.sampler) and len(indices) > 1:  # its steps are a picture's own, and so is what it is asked
            return _side_by_side([self._begun(denoise, seed, [i], device) for i in indices])
        noise = SampleNoise(seed, indices)
        like = torch.zeros(len(indices), *self.shape, device=device)
        given = None if self.asked is None else self.asked(seed, indices).to(device)
        denoise = self.wrap(self.guidance.of(denoise, given))
        start = pure_noise(self.nodes, noise, like) if self.start is None else self.start(denoise, noise, like)
        return start, run(self.sampler, denoise, self.nodes, noise, like, start)

    @torch.no_grad()
    def nfe(self, learns_variance: bool = False) -> int | None:
        """Evaluations of the denoiser for each picture: counted on runs of the sampler, not declared.

        None where they depend on the denoiser (an adaptive sampler), so that two toys disagree. Raises DifflabError
        where the sampler needs a variance and the denoiser has none.
        """
        still, wavy = (self._evaluations(_Toy(swing, learns_variance)) for swing in (0.0, 10.0))
        return still if still == wavy else None

    def is_deterministic(self) -> bool:
        """Whether neither the sampler nor the grid draws noise after the start. Tried out, not declared."""
        drawn, pixel = [], torch.zeros(1, 1, 1, 1)

        def noise(like: Tensor) -> Tensor:
            drawn.append(like)
            return like

        for _ in run(self.sampler, _Toy(0.0, True), self.nodes, noise, pixel, pixel):
            pass
        return not drawn

    def _evaluations(self, toy: "_Toy") -> int:
        guidance = self.guidance.bound(lambda nimg: (nimg or 0, toy))  # the weaker denoiser counts as well
        for _ in replace(self, guidance=guidance).states(toy, 0, [0]):
            pass
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
        """At most `frames` states after the first one, each scaled to the range of its own level; then the pictures."""
        n = len(self.nodes)
        shown = {0, *(round((i + 1) * n / min(n, frames)) for i in range(min(n, frames)))}
        for i, x in enumerate(self.states(denoise, seed, indices, device)):
            if i == n:
                yield self.finish(self.decoded(x)).cpu()
            elif i in shown:
                yield to_uint8(self.decoded(x / (self.nodes.alpha[i] + 3 * self.nodes.sigma[i]))).cpu()


def _side_by_side(alone: Sequence[tuple[Tensor, Iterator[Step]]]) -> tuple[Tensor, Iterator[Step]]:
    """Pictures that are made one by one, as a batch."""
    starts, ways = zip(*alone, strict=True)
    return torch.cat(starts), (Step(*map(torch.cat, zip(*each, strict=True))) for each in zip(*ways, strict=True))


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
