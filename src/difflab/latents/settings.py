"""What a configuration asks of latents, checked and filled in before anything is built."""

import json
from typing import Any

from omegaconf import DictConfig

from difflab.errors import DifflabError
from difflab.runs.directory import Run, find_run, user_path

RECONSTRUCTION = "difflab.latents.reconstruction.Reconstruction"

PIXELS_ONLY = {  # by the target of a choice: its name, why, and what to set
    "difflab.conditions.image.LowResolution": (
        "condition=image", "a low-resolution picture is told beside pixels", "latent=none"
    ),
    "difflab.hybrid.Hybrid": (
        "objective=hybrid", "its last step is the likelihood of pixels",
        "objective=simple and net.learn_variance=false, or latent=none",
    ),
    "difflab.thresholding.Clip": ("guidance=clip", "it keeps guesses in the range of pixels", "guidance=none"),
    "difflab.thresholding.DynamicThreshold": (
        "guidance=dynamic_threshold", "it keeps guesses in the range of pixels", "guidance=none"
    ),
}  # fmt: skip


def settle(cfg: DictConfig) -> None:
    """Fill in latent.shape.

    Raises DifflabError for an autoencoder that is missing, none, or of other pictures, and for choices about pixels.
    """
    if cfg.latent.kind == "none":
        return
    if trains_autoencoder(cfg):
        raise DifflabError(
            f"objective=reconstruction with latent={cfg.latent.kind}: an autoencoder is trained on pixels; "
            "set latent=none"
        )
    refuse_pixels_only(cfg, "condition", "objective", "guidance")
    cfg.latent.shape = {"autoencoder": _of_run, "autoencoder_kl": _of_folder}[cfg.latent.kind](cfg)


def trains_autoencoder(cfg: DictConfig) -> bool:
    return bool(cfg.objective["_target_"] == RECONSTRUCTION)


def refuse_pixels_only(cfg: DictConfig, *groups: str) -> None:
    """Raises DifflabError for choices in these groups that would run on latents, and mean nothing there."""
    for group in groups:
        target = cfg[group]["_target_"]
        if cfg.latent.kind != "none" and target in PIXELS_ONLY:
            choice, why, instead = PIXELS_ONLY[target]
            raise DifflabError(f"{choice} with latent={cfg.latent.kind}: {why}; set {instead}")


def refuse_latents(cfg: DictConfig, who: str) -> None:
    """Raises DifflabError where the run of this configuration is one on latents."""
    if cfg.latent.kind != "none":
        raise DifflabError(
            f"{who}, and this run's network sees latents (latent={cfg.latent.kind}): take a run on pixels"
        )


def autoencoder_run(cfg: DictConfig) -> Run:
    """The run that latent.from names. Raises DifflabError for none, and one that is no autoencoder's."""
    name = cfg.latent["from"]
    if name is None:
        raise DifflabError(
            "latent.from= is missing: name an autoencoder's run, such as one of `difflab train "
            "experiment=emoji_autoencoder`"
        )
    run = find_run(str(name), "latent.from")
    if not trains_autoencoder(run.read_config()):
        raise DifflabError(
            f"latent.from={name} is no autoencoder: train one with experiment=emoji_autoencoder, or with "
            "objective=reconstruction"
        )
    return run


def _of_run(cfg: DictConfig) -> list[int]:
    own = autoencoder_run(cfg).read_config()
    if list(own.data.shape) != list(cfg.data.shape):
        raise DifflabError(
            f"latent.from={cfg.latent['from']} was trained on pictures of {list(own.data.shape)}, and data.shape is "
            f"{list(cfg.data.shape)}: train another autoencoder, or set data.shape"
        )
    node = own.objective.autoencoder
    return _shape(cfg, node.channels, len(node.multipliers))


def _of_folder(cfg: DictConfig) -> list[int]:
    config = _folder_config(cfg.latent.folder)
    if config["in_channels"] != cfg.data.shape[0]:
        raise DifflabError(
            f"latent.folder={cfg.latent.folder} takes pictures of {config['in_channels']} channels, and data.shape is "
            f"{list(cfg.data.shape)}: choose another data set, or autoencoder"
        )
    return _shape(cfg, config["latent_channels"], len(config["block_out_channels"]))


def _folder_config(name: str | None) -> dict[str, Any]:
    if name is None:
        raise DifflabError("latent.folder= is missing: name a folder with an AutoencoderKL of diffusers")
    path = user_path(name) / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DifflabError(
            f"latent.folder={name}: {path} can't be read ({type(error).__name__}): name a folder with an AutoencoderKL "
            "of diffusers, such as the vae/ of a pipeline"
        ) from error
    if config.get("_class_name") != "AutoencoderKL":
        raise DifflabError(
            f"latent.folder={name} has a {config.get('_class_name')}, not an AutoencoderKL: name the vae/ of a pipeline"
        )
    return config


def _shape(cfg: DictConfig, channels: int, levels: int) -> list[int]:
    _, height, width = cfg.data.shape
    factor = 2 ** (levels - 1)
    if height % factor or width % factor:
        raise DifflabError(
            f"data.shape={list(cfg.data.shape)}: this autoencoder divides pictures by {factor}; take a multiple of it"
        )
    return [channels, height // factor, width // factor]
