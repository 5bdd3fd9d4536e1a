"""A session of training on a run: which run, from where it goes on, and that it is closed whatever happens."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from difflab.errors import BusyError, DifflabError
from difflab.lit import ByImages
from difflab.runs.checkpoints import load_checkpoint
from difflab.runs.directory import Run, find_run, new_run, read_result, user_path
from difflab.runs.locks import held
from difflab.tracking import Recorder, open_tracker

RUN_VARIABLE = "DIFFLAB_RUN"  # how further processes of a run on several devices find its directory


@dataclass(frozen=True)
class Checkpoint:
    """What to resume from, if anything, and how far it is."""

    path: Path | None = None
    nimg: int = 0
    step: int = 0
    written: int | None = None  # when, in ns

    @staticmethod
    def of(cfg: DictConfig, check: Callable[[Run, dict[str, Any]], None]) -> "Checkpoint":
        """check: raises DifflabError where the contents of the run's checkpoint don't fit what is trained."""
        if cfg.resume is None:
            return Checkpoint()
        run = find_run(cfg.resume, "resume")
        written = _written(run)
        contents = load_checkpoint(run.checkpoint)
        check(run, contents)
        return Checkpoint(run.checkpoint, contents["nimg"], contents["global_step"], written)

    def check_current(self, run: Run) -> None:
        """Raises BusyError where another process has trained the run since this one was read."""
        if _written(run) != self.written:
            raise BusyError(
                f"{run.path} was trained by another process meanwhile: give the command again, or `difflab train "
                f"resume={run.path}` to go on with it"
            )

    def finished_run(self, cfg: DictConfig) -> Run | None:
        """The run to resume, if nothing is left to do, which it says. A kill may have come before the figures."""
        if self.path is None or cfg.train.minutes is not None or self.nimg < cfg.train.total_nimg:
            return None
        run = find_run(cfg.resume, "resume")
        if read_result(run).get("nimg") != self.nimg:
            return None
        print(f"finished: all {self.nimg:,} images are seen (train.total_nimg=... trains on)\nrun: {run.path}")
        return run


def is_helper() -> bool:
    """Whether this process is a further rank of a run on several devices."""
    return int(os.environ.get("LOCAL_RANK", 0)) > 0


def opened_by_rank_0() -> Path:
    if RUN_VARIABLE not in os.environ:
        raise DifflabError(
            f"LOCAL_RANK={os.environ['LOCAL_RANK']}, but {RUN_VARIABLE} is not set: start `difflab train` once, it "
            "starts the processes of trainer.devices itself"
        )
    return Path(os.environ[RUN_VARIABLE])


def planned_run(cfg: DictConfig) -> Run:
    """Where the run is or will be: nothing is made yet.

    Raises BusyError for a run_dir that holds a run which is to be gone on with, or was exported, or has ended.
    """
    if is_helper():
        return Run(opened_by_rank_0())
    if cfg.resume is not None:
        return find_run(cfg.resume, "resume")
    if cfg.run_dir is None:
        return new_run(Path(cfg.runs), cfg.name)
    run = Run(user_path(cfg.run_dir))
    if run.checkpoint.exists():
        raise BusyError(f"run_dir={cfg.run_dir} holds a run already: go on with resume={run.path}, or name another")
    for whole in (run.model, run.result):  # only what was cut off begins anew
        if whole.exists():
            raise BusyError(f"run_dir={cfg.run_dir} holds the {whole.name} of another run: name another folder")
    return run


def begun(cfg: DictConfig) -> Run | None:
    """The run that goes on, or that rank 0 has begun; None: it is a new one."""
    if is_helper():
        return Run(opened_by_rank_0())
    return None if cfg.resume is None else find_run(cfg.resume, "resume")


@contextmanager
def opened(cfg: DictConfig, recorder: Recorder, checkpoint: Checkpoint) -> Iterator[None]:
    """The run directory with its config.yaml, this process's alone, and a tracker that is closed whatever happens."""
    if is_helper():
        yield
        return
    with held(recorder.run.path, "is trained"):
        checkpoint.check_current(recorder.run)
        with _tracked(cfg, recorder):
            yield


@contextmanager
def _tracked(cfg: DictConfig, recorder: Recorder) -> Iterator[None]:
    if cfg.resume is None and recorder.run.config.exists():
        _begin_anew(cfg, recorder)
    if cfg.logger.kind == "wandb" and cfg.logger.run_id is None:
        cfg.logger.run_id = uuid.uuid4().hex[:8]
    recorder.run.write_config(cfg)
    os.environ[RUN_VARIABLE] = str(recorder.run.path)
    failed = True
    try:
        recorder.tracker = open_tracker(cfg, recorder.run)
        yield
        failed = False
    finally:
        recorder.tracker.close(failed)


def _begin_anew(cfg: DictConfig, recorder: Recorder) -> None:
    """Of a run that was cut off before its first checkpoint nothing is kept but its identity in W&B."""
    before = recorder.run.read_config()
    if cfg.logger.kind == before.logger.kind == "wandb":
        cfg.logger.run_id = before.logger.run_id
    recorder.rewind(nimg=-1, wall_s=0.0)
    for left in (*recorder.run.path.glob("checkpoints/*.ckpt"), *recorder.run.samples.glob("nimg=*.png")):
        left.unlink()


def _written(run: Run) -> int | None:
    """When the run's last checkpoint was, in ns; None where there is none."""
    return run.checkpoint.stat().st_mtime_ns if run.checkpoint.exists() else None


@contextmanager
def stopped_gently(run: Run, module: ByImages) -> Iterator[None]:
    """Lightning turns Ctrl-C and SIGTERM into an exit without a word; say how to go on."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        raise DifflabError(
            f"stopped at {module.nimg:,} of {module.total_nimg:,} images; `difflab train resume={run.path}` goes on "
            "from the last checkpoint"
        ) from error
