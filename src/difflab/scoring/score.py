"""The figures of a configuration: its extractor against its training pictures, or what else is named."""

import torch
from omegaconf import DictConfig

from difflab.config.instantiate import build
from difflab.data.image_data import ImageData, from_config
from difflab.errors import DifflabError
from difflab.metrics.extractor import Extractor
from difflab.metrics.reference import Real, RealPictures
from difflab.metrics.suite import Suite
from difflab.progress import images_bar
from difflab.scoring.references import chosen, real_of


def suite(cfg: DictConfig, data: ImageData, device: torch.device) -> Suite | None:
    """Against the training pictures; None with metrics=none."""
    if cfg.metrics.extractor is None:
        return None
    train = RealPictures(chosen(data.train, cfg.metrics.reference_n), f"{cfg.data.name}/train")
    return _suite(cfg, extractor(cfg, device), train)


def suite_against(cfg: DictConfig, data: ImageData | None, device: torch.device) -> Suite:
    """Against what cfg.reference names. Raises DifflabError with metrics=none."""
    read_by = extractor(cfg, device)
    return _suite(cfg, read_by, real_of(cfg, data, read_by))


def data_of(cfg: DictConfig) -> ImageData | None:
    """The data set that is named; None where a reference makes it unnecessary."""
    if not cfg.data:
        return None
    data = from_config(cfg.data, batch_size=1, seed=0)
    data.setup()
    return data


def extractor(cfg: DictConfig, device: torch.device) -> Extractor:
    """Raises DifflabError with metrics=none."""
    if cfg.metrics.extractor is None:
        raise DifflabError("metrics=none: there is nothing to evaluate; choose metrics=efficientnet_lite0 or inception")
    built: Extractor = build({**cfg.metrics.extractor, "device": str(device)})
    return built


def _suite(cfg: DictConfig, read_by: Extractor, real: Real) -> Suite:
    measures = {name: build(measure) for name, measure in cfg.figures.items()}
    return Suite(read_by, real, measures, seed=0, bars=images_bar)
