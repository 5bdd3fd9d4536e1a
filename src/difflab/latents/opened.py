"""The codec of a run: opened where it comes from while it is trained, and out of the run directory ever after."""

from typing import Any

import torch
from omegaconf import DictConfig

from difflab.config.instantiate import build
from difflab.data.image_data import ImageData
from difflab.latents.base import Autoencoder
from difflab.latents.cache import Stored, encoded
from difflab.latents.codec import Codec
from difflab.latents.settings import autoencoder_run
from difflab.runs.checkpoints import load_checkpoint
from difflab.runs.directory import Run
from difflab.runs.weights import check_weights

PREFIX = "objective.autoencoder."  # of the weights in a checkpoint


def codec_of(run: Run) -> Codec | None:
    """Of a run on latents its own, else None. Raises DifflabError where its file is missing."""
    return None if run.read_config().latent.kind == "none" else Codec.read(run.codec)


def encode_data(cfg: DictConfig, data: ImageData, device: torch.device, run: Run | None) -> Codec | None:
    """The codec, by whose latents `data` is streamed from now on; None for a run on pixels.

    run: the one that goes on, or that another process has begun; None: a new one.
    """
    if cfg.latent.kind == "none":
        return None
    own = None if run is None else Codec.read(run.codec)
    autoencoder = _opened(cfg) if own is None else own.autoencoder
    found = encoded(autoencoder.eval().requires_grad_(False), data.train, data.flip, device)
    codec = own or Codec(autoencoder, found.mean, found.std)
    data.latents = Stored(codec.cpu().standardise(found.latents), data.flip)
    return codec


def _opened(cfg: DictConfig) -> Autoencoder:
    """Raises DifflabError for what can't be read."""
    if cfg.latent.kind == "autoencoder_kl":
        from difflab.latents.diffusers_kl import from_folder

        return from_folder(cfg.latent.folder)
    return trained_autoencoder(autoencoder_run(cfg))


def trained_autoencoder(run: Run) -> Autoencoder:
    """Out of the checkpoint of an autoencoder's run."""
    made: Autoencoder = build(run.read_config().objective.autoencoder)
    weights = autoencoder_weights(load_checkpoint(run.chosen or run.checkpoint))
    check_weights(made, weights, run)
    made.load_state_dict(weights)
    return made


def autoencoder_weights(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """By their names in the autoencoder."""
    state = checkpoint["state_dict"]
    return {name.removeprefix(PREFIX): tensor for name, tensor in state.items() if name.startswith(PREFIX)}
