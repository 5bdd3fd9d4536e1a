"""The autoencoders of latent diffusion as diffusers keeps them: a folder with config.json and a weights file."""

import json
from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor

from difflab.errors import DifflabError
from difflab.latents.base import Autoencoder, Latents
from difflab.metrics.weights import load
from difflab.runs.directory import user_path

WEIGHTS = "diffusion_pytorch_model.safetensors"


class DiffusersKL(Autoencoder):
    """diffusers' AutoencoderKL of a `config`, the content of its config.json."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.node = {"_target_": f"{__name__}.{type(self).__name__}", "config": dict(config)}
        self.vae = _class().from_config(dict(config))

    def encode(self, x: Float[Tensor, "b c h w"]) -> Latents:
        mean: Tensor = self.vae.encode(x).latent_dist.mode()
        return mean

    def decode(self, z: Latents) -> Float[Tensor, "b c h w"]:
        out: Tensor = self.vae.decode(z).sample
        return out


def from_folder(name: str) -> DiffusersKL:
    """The autoencoder of a folder. Raises DifflabError for weights that are missing, damaged or of another config."""
    folder = user_path(name)
    made = DiffusersKL(json.loads((folder / "config.json").read_text()))
    weights, _ = load(folder / WEIGHTS, sha256="")
    try:
        made.vae.load_state_dict(weights)
    except RuntimeError as error:
        raise DifflabError(
            f"latent.folder={name}: {WEIGHTS} is not of the network in config.json "
            f"({' '.join(str(error).split())[:160]}): fetch both from one place"
        ) from error
    return made


def _class() -> Any:
    try:
        from diffusers import AutoencoderKL
    except ImportError:
        raise DifflabError(
            "latent=autoencoder_kl needs diffusers: pip install 'difflab[latents]', or take latent=autoencoder"
        ) from None
    return AutoencoderKL
