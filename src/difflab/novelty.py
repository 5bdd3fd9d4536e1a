"""difflab novelty: is it new? Samples beside the training pictures nearest to them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from omegaconf import DictConfig
from torch import Tensor

from difflab import assemble
from difflab.data.image_data import ImageData, from_config
from difflab.errors import DifflabError
from difflab.files import write_json
from difflab.metrics.near_copies import Closeness
from difflab.metrics.novelty import Judged, figures, judge, words
from difflab.metrics.protocol import Entry, Figure
from difflab.metrics.reference import real_protocol
from difflab.metrics.spaces import FeatureSpace, PixelSpace, Space
from difflab.pictures.neighbours import Part, draw, nearest_and_median
from difflab.pixels import save_png
from difflab.progress import images_bar
from difflab.runs.directory import now
from difflab.runs.result import environment
from difflab.scoring.picture_sets import PictureSet
from difflab.scoring.score import extractor
from difflab.scoring.sources import ImagesSource, RunSource, Source, open_source


def main(cfg: DictConfig) -> Path:
    """Print what came in words, write novelty.json and novelty.png; prints and returns the folder."""
    check(cfg)
    device = assemble.device(cfg.trainer)
    source = open_source(cfg, device, tuple(cfg.data.shape))
    n = count(cfg, source)
    data = from_config(cfg.data, batch_size=1, seed=0)
    held_out = ImagesSource(data.val, f"{data.name}/val", seed=0)
    samples = pictures(source, n, "samples")
    real = pictures(held_out, min(cfg.held_out, len(data.val)), "held-out pictures")
    judged = [judge(space, samples, real, data.train, data.flip, 0, images_bar) for space in spaces(cfg, data, device)]
    out = folder(source, cfg.out)
    save_png(out / "novelty.png", page(cfg, source, data, judged, samples, real))
    write_json(out / "novelty.json", report(cfg, source, held_out, data, judged))
    print(f"{n:,} samples of {source.name} among {_training(data)}")
    print(*words(judged, cfg.quantile), f"pictures and figures: {out}", sep="\n")
    return out


def check(cfg: DictConfig) -> None:
    """Raises DifflabError for a setting that makes no sense, before anything is loaded."""
    for key, least in {"held_out": 2, "rows": 1, "neighbours": 1}.items():
        if cfg[key] < least:
            raise DifflabError(f"{key}={cfg[key]}: it is a whole number, {least} or more")
    if not 0 < cfg.quantile < 1:
        raise DifflabError(f"quantile={cfg.quantile}: it is a share of the held-out pictures, between 0 and 1")


def count(cfg: DictConfig, source: Source) -> int:
    """How many samples: cfg.n; null is metrics.n of a run's, and all there are of others.

    Raises DifflabError: none, or more than there are.
    """
    n = cfg.n if cfg.n is not None else source.n or cfg.metrics.n
    if not isinstance(n, int) or n < 1:
        raise DifflabError(f"n={n}: the number of samples is a whole number, 1 or more")
    if source.n is not None and n > source.n:
        raise DifflabError(f"n={n}: {source.name} has {source.n} pictures; leave n out to judge them all")
    return n


def pictures(source: Source, n: int, label: str) -> UInt8[Tensor, "n c h w"]:
    """The first n pictures of a source."""
    parts = []
    with images_bar(label, n) as advance:
        for batch in source.batches(range(n)):
            parts.append(batch)
            advance(len(batch))
    return torch.cat(parts)


def spaces(cfg: DictConfig, data: ImageData, device: torch.device) -> list[Space]:
    """By features, unless metrics=none, and by pixels."""
    by_pixels = PixelSpace(data.train)
    if cfg.metrics.extractor is None:
        return [by_pixels]
    return [FeatureSpace(extractor(cfg, device), data.train, images_bar), by_pixels]


def report(
    cfg: DictConfig, source: Source, held_out: ImagesSource, data: ImageData, judged: Sequence[Judged]
) -> dict[str, Any]:
    """The figures with their protocols, what came in words, and whose neighbour each sample is."""
    shared = real_protocol(f"{data.name}/train", len(data.train), data.train.digest(), data.flip) | {"seed": 0}
    made: list[Figure] = figures(judged, cfg.quantile, _entries(shared, source), _entries(shared, held_out, "held out"))
    return {
        "words": words(judged, cfg.quantile),
        "figures": [figure.to_json() for figure in made],
        "samples": [name_of(source, i) for i in range(len(judged[0].samples))],
        "nearest": {one.space.name: _nearest(one.samples) for one in judged},
        **environment(),
    }


def _entries(shared: dict[str, Entry], source: Source, role: str | None = None) -> dict[str, Entry]:
    return {**shared, **source.protocol, **({"role": role} if role else {})}


def _nearest(found: Closeness) -> dict[str, list[Any]]:
    return {
        "train_index": found.near.rows[:, 0].tolist(),
        "distance": found.distance.tolist(),
        "relative": found.relative.tolist(),
        "near_copy": found.near_copy.tolist(),
        "authentic": found.authentic.tolist(),
    }


def page(
    cfg: DictConfig, source: Source, data: ImageData, judged: Sequence[Judged], samples: Tensor, real: Tensor
) -> UInt8[Tensor, "3 h w"]:
    """The samples nearest to training pictures, those in the middle, and the nearest held-out pictures."""
    of_samples, of_real = [one.samples for one in judged], [one.real for one in judged]
    first, middle = nearest_and_median(of_samples, cfg.rows)
    names = [name_of(source, i) for i in range(len(samples))]
    beside = [f"real {i}" for i in range(len(real))]
    parts = [
        Part("the samples nearest to training pictures", names, samples, of_samples, first),
        Part("samples in the middle", names, samples, of_samples, middle),
        Part("for comparison: held-out real pictures, the nearest", beside, real, of_real,
             nearest_and_median(of_real, cfg.rows)[0]),
    ]  # fmt: skip
    below = f"{len(samples):,} samples among {_training(data)}; near-copies are framed"
    title = f"Is it new? {source.name}"
    return draw(parts, [one.space.label for one in judged], data.train.pixels, cfg.neighbours, title, below)


def name_of(source: Source, i: int) -> str:
    """Its file's, where it is one."""
    return Path(source.shelf.label(source.order[i])).name if isinstance(source, PictureSet) else f"sample {i}"


def folder(source: Source, out: str | None) -> Path:
    if isinstance(source, RunSource):
        return source.run.output("novelty", out)
    return Path(out or f"outputs/novelty/{source.name}-{now()}")


def _training(data: ImageData) -> str:
    mirrored = " and their mirrored copies" if data.flip else ""
    return f"{len(data.train):,} training pictures of {data.name}{mirrored}"
