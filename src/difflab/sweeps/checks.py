"""Every job of a training sweep is composed and checked before the first one starts."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from difflab.cli import in_one_line
from difflab.config.compose import compose
from difflab.config.resolved import read_config_file
from difflab.config.tree import leaves
from difflab.errors import DifflabError
from difflab.files import replacing
from difflab.latents.settings import trains_autoencoder
from difflab.sweeps.folder import Job, Sweep

# They say where a run lies, not what it is.
_WHERE = frozenset(("run_dir", "runs", "resume", "config"))


@dataclass(frozen=True)
class Checked:
    """A job with its configuration, or with the reason why it can't be."""

    job: Job
    cfg: DictConfig | None
    problem: str | None = None


def checked(sweep: Sweep, job: Job) -> Checked:
    """Compose the job and build what it names, without data: an impossible choice is known before anything runs."""
    try:
        cfg = compose("train", job.words)
        _build(cfg)
    except Exception as error:  # whatever a constructor raises
        return Checked(job, None, in_one_line(error))
    cfg.run_dir = str(job.path)
    if "group" in cfg.logger:
        cfg.logger.group = sweep.label
    return Checked(job, cfg)


def _build(cfg: DictConfig) -> None:
    from difflab import assemble
    from difflab.config.instantiate import build

    cfg = with_some_data(cfg)
    if trains_autoencoder(cfg):
        from difflab.latents.train import untrained

        untrained(cfg)
        return
    denoiser, objective = assemble.denoiser(cfg), assemble.objective(cfg)
    assemble.check(denoiser, objective)
    assemble.generation(cfg)
    build(cfg.optim)


def with_some_data(cfg: DictConfig) -> DictConfig:
    """A copy in which what is taken from the data, later, is anything: their standard deviation and their classes."""
    cfg = copy.deepcopy(cfg)
    if cfg.data.sigma_data is None:
        cfg.data.sigma_data = 0.5
    if cfg.data.classes is None:
        cfg.data.classes = ["any"]
    return cfg


def refuse_nonsense(jobs: Iterable[Checked]) -> None:
    """Raises DifflabError where no job can be composed, as with a misspelt key."""
    jobs = list(jobs)
    if any(job.problem is None for job in jobs):
        return
    each = "" if len(jobs) == 1 else f" (none of the {len(jobs)} jobs can be composed; this is said of the first)"
    raise DifflabError(f"{jobs[0].problem}{each}")


def write_config(job: Checked) -> None:
    """job.yaml, which says what the job trains.

    Raises DifflabError where it says something else already: conf/ has changed since the sweep began.
    """
    if job.job.config.exists():
        _check_unchanged(job)
    assert job.cfg is not None
    with replacing(job.job.config) as temporary:
        temporary.write_text(OmegaConf.to_yaml(job.cfg, resolve=True))


def _check_unchanged(job: Checked) -> None:
    now = leaves(OmegaConf.create(OmegaConf.to_container(job.cfg, resolve=True)))  # type: ignore[arg-type]
    before = leaves(read_config_file(job.job.config, "config"))
    for key in sorted(set(now) | set(before) - _WHERE):
        old, new = before.get(key), now.get(key)
        if key not in _WHERE and old != new:
            raise DifflabError(
                f"{_sweep_of(job.job)} began with {key}={old}, but {key}={new} is composed now: conf/ has changed "
                f"since; put it back, say {key}={old}, or remove that folder to begin anew"
            )


def _sweep_of(job: Job) -> Path:
    return job.path.parent.parent
