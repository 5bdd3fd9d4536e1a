"""What is scored: the pictures of a run, of a folder or of an .npz, by number, whoever made them."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import UInt8
from omegaconf import DictConfig
from torch import Tensor

from difflab import assemble, rng
from difflab.conditions.asked import Asks, as_trained
from difflab.data.images import Images
from difflab.denoiser import Denoise, Denoiser
from difflab.guidance import Snapshots
from difflab.latents.opened import codec_of
from difflab.metrics.protocol import Entry
from difflab.nets.digest import digest_of_weights
from difflab.runs.directory import Run, find_run, is_of_a_run, run_path
from difflab.runs.weights import load_denoiser, snapshots_of

Batch = UInt8[Tensor, "b c h w"]


class Source(ABC):
    """Pictures by number: picture i is the same in any batch, in any order, and in any process.

    name: what protocols call it. n: how many there are; None: as many as are asked for.
    protocol: how the pictures were made, as far as is known. digest: a hash of all that picture i depends on.
    batch: how many are made at a time.
    """

    name: str
    n: int | None
    protocol: Mapping[str, Entry]
    digest: str
    batch: int

    @abstractmethod
    def chunks(self, chunks: Iterable[Sequence[int]]) -> Generator[Batch, None, None]:
        """The pictures of each chunk of numbers, chunk by chunk; those to come may be read ahead."""

    def batches(self, indices: Sequence[int]) -> Iterator[Batch]:
        """The pictures of these numbers in their order, `batch` at a time."""
        return self.chunks(cut(indices, self.batch))


def cut(indices: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """`indices` in pieces of `size`, the last one shorter."""
    return (indices[start : start + size] for start in range(0, len(indices), size))


class RunSource(Source):
    """Samples of a run, or of one checkpoint in it, by the sampler, grid and guidance of `cfg`.

    cfg: sampler, grid, guidance, weights, seed and batch. asks: what the samples are made for.
    """

    n = None  # any number

    def __init__(self, run: Run, cfg: DictConfig, device: torch.device, asks: Asks = as_trained) -> None:
        path = run.path.resolve()
        self.name = f"{path.parent.name}/{path.name}"
        self.run = run
        self.seed, self.batch, self.device = cfg.seed, cfg.batch, device
        own = run.read_config()
        digests: dict[int, str] = {}
        denoiser, checkpoint = load_denoiser(run, cfg.weights)
        self.denoiser = denoiser.to(device)
        generation = assemble.generation(assemble.with_sampler(own, cfg), _noted(snapshots_of(run, device), digests))
        self.generation = generation.asking(asks(own, denoiser.condition)).decoding(codec_of(run))
        self.protocol = self.generation.protocol | {
            "source": self.name,
            "source_digest": digest_of_weights(denoiser),
            "weights": cfg.weights,
            "ema_halflife_nimg": own.ema.halflife_nimg if cfg.weights == "ema" else None,
            "sample_seed": cfg.seed,
            "nimg": checkpoint["nimg"],
        }
        model = {group: assemble.describe(own[group]) for group in ("net", "condition", "prediction", "schedule")}
        self.digest = digest(
            {**self.protocol, **model, "data": [own.latent.sigma_data, *own.latent.shape], "weaker": digests}
        )

    def chunks(self, chunks: Iterable[Sequence[int]]) -> Generator[Batch, None, None]:
        for chunk in chunks:
            yield self.generation.batch(self.denoiser, self.seed, chunk, self.device)


class ImagesSource(Source):
    """Pictures in memory, in an order shuffled by `seed`, so that the first n are a fair choice."""

    batch = 64

    def __init__(self, images: Images, name: str, seed: int) -> None:
        self.images, self.name, self.n = images, name, len(images)
        self.order = torch.randperm(len(images), generator=rng.generator(seed, "order"))
        content = images.digest()
        self.protocol = {"source": name, "source_digest": content}
        self.digest = digest({"content": content, "seed": seed})

    def chunks(self, chunks: Iterable[Sequence[int]]) -> Generator[Batch, None, None]:
        for chunk in chunks:
            yield self.images.pixels[self.order[torch.as_tensor(chunk)]]


def open_source(cfg: DictConfig, device: torch.device, shape: Sequence[int] | None) -> Source:
    """What `cfg.from` names: a run's folder or a checkpoint in it, a folder of pictures, or an .npz of pictures.

    cfg: besides `from`, for a run sampler, grid, guidance, weights, seed and batch; for pictures seed and resize.
    shape: (c, h, w) that pictures have to have; None: that of the first, in RGB.

    Raises:
        DifflabError: it is none of these, or its pictures are not of `shape` and cfg.resize says nothing.
    """
    from difflab.scoring.picture_sets import open_pictures

    path = run_path(cfg["from"])
    if is_of_a_run(path):
        return RunSource(find_run(cfg["from"]), cfg, device)
    return open_pictures(path, f"from={cfg['from']}", shape, cfg.resize, cfg.seed)


def _noted(snapshots: Snapshots, digests: dict[int, str]) -> Snapshots:
    """`snapshots`, noting what weights each had."""

    def snapshot(nimg: int | None) -> tuple[int, Denoise]:
        found, denoiser = snapshots(nimg)
        assert isinstance(denoiser, Denoiser)
        digests[found] = digest_of_weights(denoiser)
        return found, denoiser

    return snapshot


def digest(values: Mapping[str, Any]) -> str:
    """sha256 of plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
