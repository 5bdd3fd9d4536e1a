"""Weights out of a run's checkpoint: nothing unsafe is loaded, nothing that does not fit."""

from pathlib import Path
from typing import Any

import torch

from difflab import assemble
from difflab.denoiser import Denoiser
from difflab.errors import DifflabError
from difflab.guidance import Snapshots
from difflab.runs import Run


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint's contents, tensors and plain values only.

    Raises DifflabError for a file that is absent, truncated or holds anything else.
    """
    if not path.is_file():
        raise DifflabError(f"{path} does not exist: the run was stopped before its first checkpoint; train it again")
    try:
        contents: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for a broken file
        raise DifflabError(
            f"{path} ({path.stat().st_size:,} bytes) is not a whole checkpoint of plain tensors "
            f"({type(error).__name__}): copy it again, or train again from the run's config.yaml"
        ) from error
    return contents


def load_denoiser(run: Run, weights: str = "ema") -> tuple[Denoiser, dict[str, Any]]:
    """The run's denoiser in eval mode with its averaged ("ema") or last ("raw") weights, and its checkpoint.

    Raises DifflabError where the weights don't fit the network of the run's config.
    """
    if weights not in ("ema", "raw"):
        raise DifflabError(f"weights={weights}: a run has the weights ema (averaged) and raw (of the last step)")
    checkpoint = load_checkpoint(run.checkpoint)
    denoiser = assemble.denoiser(run.read_config())
    raw = denoiser_weights(checkpoint)
    check_weights(denoiser, raw, run)
    denoiser.load_state_dict(raw | (checkpoint["ema"] if weights == "ema" else {}))
    return denoiser.eval(), checkpoint


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
    weights = denoiser.state_dict() | load_checkpoint(kept[nimg])["ema"]
    check_weights(denoiser, weights, run)
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


def check_weights(denoiser: Denoiser, weights: dict[str, torch.Tensor], run: Run) -> None:
    """Refuse weights of another architecture, by name and shape."""
    here = {k: tuple(v.shape) for k, v in denoiser.state_dict().items()}
    there = {k: tuple(v.shape) for k, v in weights.items()}
    differing = sorted(k for k in here.keys() | there.keys() if here.get(k) != there.get(k))
    if differing:
        first = differing[0]
        raise DifflabError(
            f"{run.checkpoint} has another network than the configuration: {len(differing)} of {len(here)} weights "
            f"differ, such as {first} ({there.get(first, 'absent')} there, {here.get(first, 'absent')} here): "
            f"resume without overriding net, or start a new run"
        )
