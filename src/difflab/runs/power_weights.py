"""The power-function averages that a run has kept, and the average of another length out of them."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from difflab.errors import DifflabError
from difflab.power_ema import Mix, Power, gamma_of, reconstruction
from difflab.runs.checkpoints import load_checkpoint
from difflab.runs.directory import Run

log = logging.getLogger(__name__)

KEY = "power_ema"  # in a checkpoint: {sigma_rel: {name: average}}
WORST = 0.1  # of a mismatch: beyond it the average is of another length than it says
COARSE = 0.03  # worth a word
Weights = dict[str, torch.Tensor]


def power_path(run: Run, nimg: int) -> Path:
    """Where the run keeps its power-function averages at `nimg` images."""
    return run.checkpoint.parent / f"power-nimg={nimg:09d}.ckpt"


def kept_powers(run: Run) -> dict[int, Path]:
    """The files of the run's power-function averages by images seen, the earliest first."""
    paths = run.checkpoint.parent.glob("power-nimg=*.ckpt")
    return dict(sorted((int(path.stem.partition("=")[2]), path) for path in paths))


def power_average(run: Run, checkpoint: dict[str, Any], sigma_rel: float) -> Weights:
    """The average of that length at the checkpoint's images: of its own averages and of the files before it.

    Raises DifflabError where it has none, or they don't express this length.
    """
    own = _own(run, checkpoint)
    files = [path for nimg, path in kept_powers(run).items() if nimg < checkpoint["nimg"]]
    mix = mixed(run, checkpoint, sigma_rel)
    if mix.mismatch > COARSE:
        log.warning(
            "weights=power:%g: what %s has kept expresses it to %.1f %%", sigma_rel, run.path, 100 * mix.mismatch
        )
    total = {name: torch.zeros_like(average, dtype=torch.float64) for name, average in next(iter(own.values())).items()}
    parts = iter(mix.coefficients.tolist())
    for path in [None, *files]:
        averages = own if path is None else load_checkpoint(path)[KEY]
        for length in own:
            part = next(parts)
            for name, average in averages[length].items():
                total[name].add_(average.double(), alpha=part)
    return {name: average.float() for name, average in total.items()}


def mixed(run: Run, checkpoint: dict[str, Any], sigma_rel: float) -> Mix:
    """What the average of that length takes of the checkpoint's own averages, then of those of each file before it.

    Raises DifflabError where the run has none, or they don't express this length.
    """
    gammas = [gamma_of(length) for length in _own(run, checkpoint)]
    at = [checkpoint["nimg"], *(nimg for nimg in kept_powers(run) if nimg < checkpoint["nimg"])]
    mix = reconstruction([Power(nimg, gamma) for nimg in at for gamma in gammas], Power(at[0], gamma_of(sigma_rel)))
    if mix.mismatch > WORST:
        tracked = ", ".join(f"{length:g}" for length in _own(run, checkpoint))
        raise DifflabError(
            f"weights=power:{sigma_rel:g}: what {run.path} has kept at {len(at)} points up to {at[0]:,} images misses "
            f"that EMA length by {mix.mismatch:.0%} (at most {WORST:.0%}): name one nearer to the tracked {tracked}, "
            "or train with a higher callbacks.power_ema.snapshots"
        )
    return mix


def _own(run: Run, checkpoint: dict[str, Any]) -> dict[float, Weights]:
    own: dict[float, Weights] = checkpoint.get(KEY, {})
    if not own:
        raise DifflabError(
            f"weights=power: {run.chosen or run.checkpoint} has no power-function averages: train with "
            "callbacks.power_ema.sigma_rel=[0.03,0.1] (EMA lengths as shares of the run), or use weights=ema"
        )
    return own


def check_tracked(run: Run, checkpoint: dict[str, Any], asked: Sequence[Any]) -> None:
    """Raises DifflabError where the run to resume has tracked other lengths: an average can't begin in the middle."""
    tracked = [float(length) for length in checkpoint.get(KEY, {})]
    if sorted(tracked) != sorted(set(map(float, asked))):
        raise DifflabError(
            f"callbacks.power_ema.sigma_rel={list(asked)}: {run.path} has tracked {tracked} from its first image on; "
            f"resume it with callbacks.power_ema.sigma_rel={str(tracked).replace(' ', '')}"
        )
