"""A sweep of evaluations: nothing is trained, and all jobs run in this process, which loads everything once."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from difflab import processes
from difflab.cli import in_one_line
from difflab.config.compose import compose
from difflab.errors import DifflabError
from difflab.files import replacing
from difflab.runs import chosen
from difflab.runs.directory import find_run, is_of_a_run, run_path
from difflab.runs.locks import held
from difflab.sweeps import conclusion
from difflab.sweeps.axis import axis_of
from difflab.sweeps.expand import expand
from difflab.sweeps.folder import Job, Status, Sweep
from difflab.sweeps.scoring import Scoring

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override


@dataclass(frozen=True)
class Task:
    """A job and its whole configuration."""

    job: Job
    cfg: DictConfig

    @property
    def is_finished(self) -> bool:
        """Whether its result is there, and newer than the weights that it is of."""
        result = self.job.path / "result.json"
        if self.job.read_status().state != "finished" or not result.exists():
            return False
        return result.stat().st_mtime_ns > _changed(self.cfg["from"])


def run(sweep: Sweep, overrides: "Sequence[Override]", settings: DictConfig, at_once: int | None) -> int:
    """Evaluate all jobs of the grid, one after the other; 0 if every one is finished."""
    _refuse(settings, at_once)
    sweep = replace(sweep, x=axis_of(sweep, overrides))
    sweep = sweep.with_jobs([sweep.job(i, words.all, words.swept) for i, words in enumerate(expand(overrides))])
    tasks = [Task(job, _configuration(job)) for job in sweep.jobs]
    conclusion.check([task.cfg for task in tasks])
    with held(sweep.path, "is a sweep that is run"):
        sweep.write()
        chosen.announce(tasks[0].cfg)
        _run_all(tasks)
        return conclusion.report(sweep, [task.cfg for task in tasks])


def _refuse(settings: DictConfig, at_once: int | None) -> None:
    """Raises DifflabError for what makes sense with training only."""
    if (at_once or 1) > 1 or processes.by_torchrun():
        raise DifflabError(
            "evaluations of a sweep run one after the other, in one process that loads everything once: leave -j and "
            "torchrun out, and share each of them with trainer.devices=2"
        )
    if settings.launcher.kind != "local" or settings.search.kind != "none":
        raise DifflabError("a sweep of evaluations runs here and tries all: leave launcher and search out")


def _configuration(job: Job) -> DictConfig:
    """As the sweep began with it; a sampler that is chosen for the run meanwhile changes nothing."""
    if not job.config.exists():
        return compose("evaluate", job.words)
    cfg = OmegaConf.load(job.config)
    assert isinstance(cfg, DictConfig)
    OmegaConf.set_struct(cfg, True)
    return cfg


def _run_all(tasks: Sequence[Task]) -> None:
    for task in tasks:
        _begin(task)
    scoring = Scoring()
    for i, task in enumerate(tasks, start=1):
        where = f"{i} of {len(tasks)}: {task.job.name}"
        if task.is_finished:
            print(f"{where} is finished", flush=True)
            continue
        print(where, flush=True)
        status = _run(task, scoring)
        if status.state == "failed":
            print(f"failed: {status.message}", flush=True)


def _begin(task: Task) -> None:
    """job.yaml and status.json, before the first job runs."""
    if not task.is_finished:
        with replacing(task.job.config) as temporary:
            temporary.write_text(OmegaConf.to_yaml(task.cfg, resolve=True))
        task.job.write_status(replace(task.job.read_status(), state="waiting", message=None))


def _run(task: Task, scoring: Scoring) -> Status:
    """Score one job, whatever becomes of it; its status says what, also if it is stopped."""
    job, before, start = task.job, task.job.read_status(), time.monotonic()
    status = replace(before, state="running", started=datetime.now().astimezone().isoformat(timespec="seconds"))
    job.write_status(status)
    try:
        scoring.score(task.cfg, job.path)
        status = replace(status, state="finished")
    except KeyboardInterrupt:
        status = replace(status, state="stopped")
        raise
    except Exception as error:  # the next job may do better
        status = replace(status, state="failed", message=in_one_line(error))
    finally:
        status = replace(status, seconds=round((before.seconds or 0.0) + time.monotonic() - start, 1))
        job.write_status(status)
    return status


def _changed(name: str | None) -> int:
    """When the pictures or the weights were written, in ns."""
    path = run_path(name or ".")
    if name is not None and is_of_a_run(path):
        run = find_run(name)
        path = run.chosen or run.checkpoint
    with suppress(OSError):
        return path.stat().st_mtime_ns
    return 0
