"""From a composed configuration to the objects of the core; refuses what cannot work together."""

import copy
from dataclasses import replace
from functools import partial

import torch
from omegaconf import DictConfig

from difflab.conditions.none import NoCondition
from difflab.config.instantiate import build
from difflab.denoiser import Denoiser
from difflab.errors import DifflabError
from difflab.generation import Generation
from difflab.guidance import ClassifierFree, Guidance, Snapshots
from difflab.latents.settings import refuse_pixels_only
from difflab.nfe import most_steps
from difflab.objective import Objective, check_trainable
from difflab.predictions import check_recoverable
from difflab.rng import first_weights


def denoiser(cfg: DictConfig) -> Denoiser:
    """The network and the condition with their first weights, a function of train.seed."""
    with first_weights(cfg.train.seed):
        net, condition = build(cfg.net), build(cfg.condition)
    return Denoiser(net, build(cfg.prediction), cfg.latent.sigma_data, condition)


def objective(cfg: DictConfig) -> Objective:
    """The objective; a weighting that is trained begins as a function of train.seed."""
    with first_weights(cfg.train.seed):
        parts = [build(cfg[group]) for group in ("schedule", "weighting", "times", "coupling")]
    made: Objective = build(cfg.objective)(*parts)
    return made


def check(denoiser: Denoiser, objective: Objective) -> None:
    """Refuse a network, a prediction and an objective that can't work together. Raises DifflabError."""
    check_trainable(denoiser.prediction, objective)
    if objective.needs_variance != denoiser.learns_variance:
        name, learns = type(objective).__name__.lower(), str(denoiser.learns_variance).lower()
        raise DifflabError(
            f"objective '{name}' does not go with net.learn_variance={learns}: a variance is trained by "
            "objective=hybrid with net.learn_variance=true, and by nothing else"
        )


def no_snapshots(nimg: int | None) -> tuple[int, Denoiser]:
    """Of a run that is about to train."""
    raise DifflabError(
        f"guidance=autoguidance with snapshot={'null' if nimg is None else nimg}: a run keeps its snapshots while it "
        "trains; train with guidance=none, then `difflab sample from=RUN guidance=autoguidance` or evaluate"
    )


def generation(cfg: DictConfig, snapshots: Snapshots = no_snapshots) -> Generation:
    """The sampler on its grid over the run's schedule, with the guidance.

    Raises DifflabError where the prediction can't recover x0 at one of the grid's nodes, the sampler needs a
    variance that the network has not, `snapshots` has not what the guidance needs, or the run has no condition to
    guide by.
    """
    schedule = build(cfg.schedule)
    nodes = build(cfg.grid).nodes(schedule)
    check_recoverable(build(cfg.prediction), schedule, nodes)
    guidance = build(cfg.guidance).bound(snapshots)
    check_guides(guidance, cfg)
    draft = Generation(build(cfg.sampler), nodes, tuple(cfg.latent.shape), {}, guidance)
    # By its own words, since it knows which snapshot a null has found.
    names = {"sampler": describe(cfg.sampler), "grid": describe(cfg.grid), "guidance": repr(guidance)}
    return replace(draft, protocol=names | {"nfe": draft.nfe(bool(cfg.net.get("learn_variance")))})


def check_guides(guidance: Guidance, cfg: DictConfig) -> None:
    """Refuse guidance away from the unconditional guess where there is no other, or none that was learned.

    Raises DifflabError.
    """
    if type(guidance) is not ClassifierFree or guidance.scale == 1:
        return
    if not has_condition(cfg):
        raise DifflabError(
            f"guidance=classifier_free with scale={guidance.scale}: the run has no condition to guide by; train with "
            "condition=label, or choose guidance=none"
        )
    if cfg.condition.dropout == 0:
        raise DifflabError(
            f"guidance=classifier_free with scale={guidance.scale} goes away from the guess without a condition, which "
            "condition.dropout=0 never trains: train with condition.dropout=0.1, or choose guidance=none"
        )


def has_condition(cfg: DictConfig) -> bool:
    """Whether something can be asked of a run."""
    return cfg.get("condition") is not None and _name(cfg.condition) != NoCondition.__name__


def with_sampler(base: DictConfig, cfg: DictConfig) -> DictConfig:
    """A run's configuration `base` with the sampler, the grid and the guidance of `cfg`, in as many steps as its nfe
    pays for.

    Raises DifflabError where it pays for none, and for a guidance that is about pixels where the run sees latents.
    """
    base.sampler, base.grid, base.guidance = cfg.sampler, cfg.grid, cfg.guidance
    refuse_pixels_only(base, "guidance")
    if cfg.nfe is not None:
        who = f"{_name(base.sampler)} on {_name(base.grid)} with {_name(base.guidance)}"
        base.grid.steps = most_steps(partial(evaluations, base), cfg.nfe, who)
    return base


def evaluations(cfg: DictConfig, steps: int) -> int | None:
    """Of the denoiser for a picture, with so many steps of the grid; None where the denoiser decides."""
    nodes = build({**cfg.grid, "steps": steps}).nodes(build(cfg.schedule))
    one_pixel = Generation(build(cfg.sampler), nodes, (1, 1, 1), {}, build(cfg.guidance))
    return one_pixel.nfe(bool(cfg.net.get("learn_variance")))


def with_steps(cfg: DictConfig, steps: int) -> DictConfig:
    """A copy of `cfg` whose grid has at most `steps` steps, where it has a number of them."""
    cfg = copy.deepcopy(cfg)
    for grid in (cfg.grid, cfg.grid.get("base")):
        if grid is not None and "steps" in grid:
            grid.steps = min(steps, grid.steps)
    return cfg


def device(trainer: DictConfig) -> torch.device:
    """Where pictures are made and scored: the GPU of a GPU run if there is one here, else the processor."""
    return torch.device("cuda" if trainer.accelerator == "gpu" and torch.cuda.is_available() else "cpu")


def describe(node: DictConfig) -> str:
    """`ddim(eta=0.0)`: a node as its target's last name and its numbers, and those of the nodes in it."""
    numbers = []
    for key in map(str, node):
        value = node[key]
        if not key.startswith("_"):
            built = isinstance(value, DictConfig) and "_target_" in value
            numbers.append(f"{key}={describe(value) if built else value}")
    return f"{_name(node)}({', '.join(numbers)})"


def _name(node: DictConfig) -> str:
    return str(node["_target_"]).rpartition(".")[2]
