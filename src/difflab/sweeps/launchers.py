"""From launcher= to where jobs run, and how many side by side."""

from omegaconf import DictConfig

from difflab.sweeps.processes import Launcher, Local


def launcher_of(cfg: DictConfig, at_once: int) -> tuple[Launcher, int]:
    """The launcher and its slots."""
    return Local(at_once, _gpus()), at_once


def _gpus() -> list[str]:
    """That are visible here, by the names of CUDA_VISIBLE_DEVICES."""
    import os

    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name]
    return [str(i) for i in range(torch.cuda.device_count())]
