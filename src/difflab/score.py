"""The figures of a configuration: its extractor against its training pictures."""

import torch
from omegaconf import DictConfig

from difflab.data.images import Images
from difflab.data.module import ImageData
from difflab.instantiate import build
from difflab.metrics.reference import RealPictures
from difflab.metrics.suite import Suite
from difflab.progress import images_bar
from difflab.rng import generator


def _reference(images: Images, n: int | None) -> Images:
    """The training pictures, or `n` of them in a fixed random choice."""
    if n is None or n >= len(images):
        return images
    return images.select(torch.randperm(len(images), generator=generator(0, "reference"))[:n])


def suite(cfg: DictConfig, data: ImageData, device: torch.device) -> Suite | None:
    """None with metrics=none."""
    if cfg.metrics.extractor is None:
        return None
    return Suite(
        build({**cfg.metrics.extractor, "device": str(device)}),
        RealPictures(_reference(data.train, cfg.metrics.reference_n), f"{cfg.data.name}/train"),
        {name: build(measure) for name, measure in cfg.figures.items()},
        seed=0,
        bars=images_bar,
    )
