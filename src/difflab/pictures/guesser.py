"""Who guesses, and on which pictures: a run's network, or the exact denoiser of some training pictures."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from difflab import assemble
from difflab.data.image_data import from_config
from difflab.data.images import measure_sigma_data
from difflab.denoiser import Denoise
from difflab.errors import DifflabError
from difflab.generation import Generation
from difflab.latents.settings import refuse_latents
from difflab.pictures.by_heart import by_heart
from difflab.pixels import to_model
from difflab.rng import generator
from difflab.runs.directory import Run
from difflab.runs.weights import load_denoiser, snapshots_of


class Guesser(NamedTuple):
    """`name` and `pictures` are what captions say of the denoiser and of x0."""

    denoise: Denoise
    x0: Float[Tensor, "m c h w"]
    generation: Generation
    name: str
    pictures: str
    nimg: int | None


def learned_by_heart(cfg: DictConfig) -> Guesser:
    """Asked about pictures that it knows. Raises DifflabError for what does not work together."""
    known = pictures(cfg, "train", cfg.by_heart)
    x0 = repeated(known, max(cfg.n, cfg.measured))
    name = f"{len(known):,} pictures learned by heart"
    return Guesser(by_heart(known), x0, assemble.generation(with_net(cfg, {})), name, "of those it knows", None)


def network(cfg: DictConfig, run: Run) -> Guesser:
    """Asked about pictures that it has never seen. Raises DifflabError for what does not work together."""
    check_same(cfg, run)
    refuse_latents(run.read_config(), "difflab explain draws what becomes of pixels")
    m, device = max(cfg.n, cfg.measured), assemble.device(cfg.trainer)
    x0 = repeated(pictures(cfg, "val", m), m).to(device)
    denoiser, checkpoint = load_denoiser(run, cfg.weights)
    generation = assemble.generation(with_net(cfg, run.read_config()), snapshots_of(run, device))
    name = f"a network after {checkpoint['nimg']:,} images"
    return Guesser(denoiser.to(device), x0, generation, name, "that it has never seen", checkpoint["nimg"])


def with_net(cfg: DictConfig, run: Mapping[Any, Any]) -> DictConfig:
    """The configuration with the network and the condition of a run's, {} for none: what a sampler wants to know."""
    container = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(container, dict)
    return OmegaConf.create(container | {"net": run.get("net", {}), "condition": run.get("condition")})


def check_same(cfg: DictConfig, run: Run) -> None:
    """A network can't be asked for another prediction or other shapes than it was trained for."""
    trained = run.read_config()
    if cfg.prediction != trained.prediction:
        asked, learned = assemble.describe(cfg.prediction), assemble.describe(trained.prediction)
        raise DifflabError(f"prediction={asked}: the network of {run.path} predicts {learned}; leave prediction out")
    if list(cfg.data.shape) != list(trained.data.shape):
        raise DifflabError(
            f"data.shape={list(cfg.data.shape)}: the network of {run.path} takes pictures of "
            f"{list(trained.data.shape)}; leave data out, or give it this shape"
        )


def pictures(cfg: DictConfig, split: str, most: int) -> Float[Tensor, "n c h w"]:
    """At most so many of a split, a choice by the seed. A deviation of null is measured and set, as train does."""
    data = from_config(cfg.data, batch_size=1, seed=cfg.seed)
    data.setup()
    if cfg.data.sigma_data is None:
        cfg.data.sigma_data = round(measure_sigma_data(data.train.pixels), 3)
    pixels = {"train": data.train, "val": data.val}[split].pixels
    return to_model(pixels[torch.randperm(len(pixels), generator=generator(cfg.seed, "explain"))[:most]])


def repeated(images: Float[Tensor, "n c h w"], m: int) -> Float[Tensor, "m c h w"]:
    """m pictures, from the first on again where there are fewer: each time they get noise of their own."""
    return images[torch.arange(m) % len(images)]
