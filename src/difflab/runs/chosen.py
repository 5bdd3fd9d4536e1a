"""The sampler that a run samples with by default: the one it was trained with, or what a sweep has chosen since.

<run>/sampler.yaml holds the chosen sampler, grid and guidance, and by what they were chosen. Deleting it takes the run
back to its own; `sampler=trained` does so for one command.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from difflab.errors import DifflabError
from difflab.files import replacing
from difflab.runs.directory import Run, find_run, is_of_a_run, run_path

GROUPS = ("sampler", "grid", "guidance")
Nodes = dict[str, dict[str, Any]]
"""The configuration of each of GROUPS, resolved."""


@dataclass(frozen=True)
class Chosen:
    """By what a sampler was chosen: the sweep's folder, and the figure of `n` samples in `nfe` evaluations each."""

    by: str
    figure: str
    value: float
    error: float | None
    nfe: int
    n: int


def choose(run: Run, cfg: DictConfig, chosen: Chosen) -> Path:
    """Make the sampler, the grid and the guidance of `cfg` the run's default; returns the file."""
    nodes = {group: cfg[group] for group in GROUPS}
    with replacing(run.sampler) as temporary:
        temporary.write_text(OmegaConf.to_yaml(OmegaConf.create({**nodes, "chosen": asdict(chosen)}), resolve=True))
    return run.sampler


def chosen_by(run: Run) -> Chosen | None:
    """By what the run's default was chosen; None where it is that of training."""
    found = _read(run)
    return None if found is None else Chosen(**found["chosen"])


def default_nodes(run: Run) -> Nodes:
    """What the run samples with by default."""
    found = _read(run)
    return trained_nodes(run) if found is None else {group: found[group] for group in GROUPS}


def trained_nodes(run: Run) -> Nodes:
    """What the run was trained to be sampled with."""
    cfg = run.read_config()
    return {group: OmegaConf.to_container(cfg[group]) for group in GROUPS}  # type: ignore[misc]


def _read(run: Run) -> dict[str, Any] | None:
    """Raises DifflabError for a file that is not as `choose` writes it."""
    if not run.sampler.is_file():
        return None
    try:
        found: Any = OmegaConf.to_container(OmegaConf.load(run.sampler))
        Chosen(**found["chosen"])
        return {key: found[key] for key in (*GROUPS, "chosen")}
    except (OSError, YAMLError, OmegaConfBaseException, KeyError, TypeError) as error:
        raise DifflabError(
            f"{run.sampler} can't be read ({type(error).__name__}): delete it to go back to the sampler of training"
        ) from error


def announce(cfg: DictConfig) -> None:
    """Print one line where `cfg` samples from a run with what a sweep has chosen for it."""
    name = cfg.get("from")
    if "sampler" not in cfg or name is None or not is_of_a_run(run_path(name)):
        return
    run = find_run(name)
    chosen, nodes = chosen_by(run), default_nodes(run)
    if chosen is None or cfg.sampler != nodes["sampler"]:
        return
    from difflab.assemble import describe

    whole = cfg.get("nfe") is None and all(cfg[group] == nodes[group] for group in GROUPS)
    cost = f" in {chosen.nfe} evaluations" if whole else ""
    print(f"sampler: {describe(cfg.sampler)}{cost} (chosen by {chosen.by}; sampler=trained: that of training)")
