"""Weights out of a run's checkpoints: nothing that does not fit."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from difflab import assemble
from difflab.denoiser import Denoiser
from difflab.errors import DifflabError
from difflab.guidance import Snapshots
from difflab.latents.settings import trains_autoencoder
from difflab.power_ema import gamma_of
from difflab.runs.checkpoints import load_checkpoint, load_model
from difflab.runs.directory import Run
from difflab.runs.power_weights import KEY, Weights, power_average


def load_denoiser(run: Run, weights: str = "ema") -> tuple[Denoiser, dict[str, Any]]:
    """The run's denoiser in eval mode, and the checkpoint it is from: the run's `chosen` one, else the last.

    weights: "ema", the average while training; "raw", those of the last step; "power:0.08", the power-function average
    of that length (EDM2's sigma_rel).

    Raises DifflabError for other words, for what the checkpoint has not, and for weights that don't fit the network of
    the run's config.
    """
    sigma_rel = power_length(weights)
    if trains_autoencoder(run.read_config()):
        raise DifflabError(
            f"{run.path} is an autoencoder's run, which makes no pictures of its own: train one on its latents with "
            f"latent=autoencoder latent.from={run.path}"
        )
    checkpoint = _contents(run)
    denoiser = assemble.denoiser(run.read_config())
    plain = denoiser_weights(checkpoint) if "state_dict" in checkpoint else _never_averaged(denoiser)
    averaged = _average(run, checkpoint, weights) if sigma_rel is None else power_average(run, checkpoint, sigma_rel)
    check_weights(denoiser, plain | averaged, run)
    denoiser.load_state_dict(plain | averaged)
    return denoiser.eval(), checkpoint


def _contents(run: Run) -> dict[str, Any]:
    path = _file(run)
    return load_model(path) if path == run.model else load_checkpoint(path)


def _file(run: Run) -> Path:
    """The run's chosen checkpoint, else its last; of an exported run, its average."""
    if run.chosen is None and not run.checkpoint.exists() and run.model.is_file():
        return run.model
    return run.chosen or run.checkpoint


def _never_averaged(denoiser: Denoiser) -> Weights:
    """What training does not change, and no average holds; a parameter that an average has not is missing."""
    learned = {name for name, _ in denoiser.named_parameters()}
    return {name: tensor for name, tensor in denoiser.state_dict().items() if name not in learned}


def power_length(weights: str) -> float | None:
    """The length of weights=power:0.08; None for the words ema and raw. Raises DifflabError for anything else."""
    word, _, length = weights.partition(":")
    if weights in ("ema", "raw"):
        return None
    if word != "power":
        raise DifflabError(
            f"weights={weights}: a run has the weights ema (averaged), raw (of the last step) and, of any other EMA "
            "length, power:0.08"
        )
    try:
        sigma_rel = float(length)
    except ValueError:
        raise DifflabError(
            f"weights={weights}: an EMA length is a share of the run, as in weights=power:0.08"
        ) from None
    gamma_of(sigma_rel)
    return sigma_rel


def _average(run: Run, checkpoint: dict[str, Any], weights: str) -> Weights:
    """Of "ema" the average, of "raw" nothing."""
    has = {"ema": "ema" in checkpoint, "raw": "state_dict" in checkpoint, "power:0.08": KEY in checkpoint}
    if not has[weights]:
        there = " and ".join(word for word, is_there in has.items() if is_there) or "none"
        raise DifflabError(f"weights={weights}: {_file(run)} has {there}; choose one, or the run")
    return checkpoint["ema"] if weights == "ema" else {}


def snapshot_path(run: Run, nimg: int) -> Path:
    """Where the run keeps its averaged weights at `nimg` images."""
    return run.checkpoint.parent / f"snapshot-nimg={nimg:09d}.ckpt"


def kept_snapshots(run: Run) -> dict[int, Path]:
    """The run's snapshots by images seen, the earliest first."""
    paths = run.checkpoint.parent.glob("snapshot-nimg=*.ckpt")
    return dict(sorted((int(path.stem.partition("=")[2]), path) for path in paths))


def load_snapshot(run: Run, nimg: int | None) -> tuple[int, Denoiser]:
    """The denoiser in eval mode as it was at `nimg` images (None: the earliest kept), and its number of images.

    Raises DifflabError where the run has not kept it.
    """
    kept = kept_snapshots(run)
    if not kept or (nimg is not None and nimg not in kept):
        has = f"the snapshots {', '.join(map(str, kept))}" if kept else "no snapshot"
        raise DifflabError(
            f"guidance.snapshot={'null' if nimg is None else nimg}: {run.path} has {has}; name one of its own, "
            "or train with callbacks.snapshots.at=[0.25] (shares of the run)"
        )
    nimg = min(kept) if nimg is None else nimg
    denoiser = assemble.denoiser(run.read_config())
    weights = _never_averaged(denoiser) | load_checkpoint(kept[nimg])["ema"]
    check_weights(denoiser, weights, Run(run.path, kept[nimg]))
    denoiser.load_state_dict(weights)
    return nimg, denoiser.eval()


def snapshots_of(run: Run, device: torch.device) -> Snapshots:
    """The run's snapshots on a device, for a guidance that needs one."""

    def snapshot(nimg: int | None) -> tuple[int, Denoiser]:
        found, denoiser = load_snapshot(run, nimg)
        return found, denoiser.to(device)

    return snapshot


def denoiser_weights(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The weights of the last step, by their names in the denoiser."""
    return {k.removeprefix("denoiser."): v for k, v in checkpoint["state_dict"].items() if k.startswith("denoiser.")}


def check_weights(net: nn.Module, weights: dict[str, torch.Tensor], run: Run) -> None:
    """Refuse weights of another architecture, by name and shape."""
    here = {k: tuple(v.shape) for k, v in net.state_dict().items()}
    there = {k: tuple(v.shape) for k, v in weights.items()}
    differing = sorted(k for k in here.keys() | there.keys() if here.get(k) != there.get(k))
    if differing:
        first = differing[0]
        raise DifflabError(
            f"{_file(run)} has another network than the configuration: {len(differing)} of "
            f"{len(here)} weights differ, such as {first} ({there.get(first, 'absent')} there, "
            f"{here.get(first, 'absent')} here): resume without overriding net, or start a new run"
        )
