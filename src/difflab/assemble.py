"""From a composed configuration to the objects of the core; refuses what cannot work together."""

import torch
from omegaconf import DictConfig

from difflab.denoiser import Denoiser
from difflab.generation import Generation
from difflab.instantiate import build
from difflab.objective import Objective
from difflab.predictions import check_recoverable
from difflab.rng import fold


def denoiser(cfg: DictConfig) -> Denoiser:
    """The network with its first weights, a function of train.seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(fold(cfg.train.seed, "weights"))
        net = build(cfg.net)
    return Denoiser(net, build(cfg.prediction), cfg.data.sigma_data)


def objective(cfg: DictConfig) -> Objective:
    return Objective(build(cfg.schedule), build(cfg.weighting), build(cfg.times))


def generation(cfg: DictConfig) -> Generation:
    """The sampler on its grid over the run's schedule.

    Raises DifflabError where the prediction can't recover x0 at one of the grid's nodes.
    """
    schedule = build(cfg.schedule)
    nodes = build(cfg.grid).nodes(schedule)
    check_recoverable(build(cfg.prediction), schedule, nodes)
    sampler = build(cfg.sampler)
    draft = Generation(sampler, nodes, tuple(cfg.data.shape), {})
    protocol = {"sampler": describe(cfg.sampler), "grid": describe(cfg.grid), "nfe": draft.nfe()}
    return Generation(sampler, nodes, draft.shape, protocol)


def with_sampler(base: DictConfig, cfg: DictConfig) -> DictConfig:
    """A run's configuration `base` with the sampler and the grid of `cfg`."""
    base.sampler, base.grid = cfg.sampler, cfg.grid
    return base


def device(trainer: DictConfig) -> torch.device:
    """Where pictures are made and scored: the GPU of a GPU run if there is one here, else the processor."""
    return torch.device("cuda" if trainer.accelerator == "gpu" and torch.cuda.is_available() else "cpu")


def describe(node: DictConfig) -> str:
    """`ddim(eta=0.0)`: a node as its target's last name and its numbers."""
    numbers = [f"{key}={node[key]}" for key in map(str, node) if not key.startswith("_")]
    return f"{node['_target_'].rpartition('.')[2]}({', '.join(numbers)})"
