"""From launcher= to where jobs run, and how many side by side."""

import os

from omegaconf import DictConfig

from difflab.sweeps.processes import Launcher, Local

QUEUED = 1000  # jobs that are given to a cluster at once, where -j does not say how many


def launcher_of(cfg: DictConfig, at_once: int | None, one_by_one: bool = False) -> tuple[Launcher, int]:
    """The launcher and its slots. one_by_one: of a search, which learns from each job, unless -j says more.

    Raises DifflabError for one that does not work here.
    """
    if cfg.kind == "slurm":
        from difflab.sweeps.slurm import Submitit

        return Submitit(cfg), at_once or (1 if one_by_one else QUEUED)
    return Local(at_once or 1, _gpus()), at_once or 1


def _gpus() -> list[str]:
    """That are visible here, by the names of CUDA_VISIBLE_DEVICES."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name]
    return [str(i) for i in range(torch.cuda.device_count())]
