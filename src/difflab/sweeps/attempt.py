"""One attempt at a training job: how it is started, and what came of it."""

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from omegaconf import DictConfig

from difflab.errors import BusyError
from difflab.runs.directory import Run
from difflab.runs.locks import is_held
from difflab.sweeps.folder import Job, State, Status
from difflab.sweeps.processes import Launcher, Orphan, Process

_TAIL = 20_000  # bytes of a log that are read for its last words


@dataclass(frozen=True)
class Task:
    """A job to train: its configuration, and its images where minutes have been turned into them."""

    job: Job
    cfg: DictConfig
    images: int | None = None

    @property
    def total_nimg(self) -> int:
        """A whole number of optimiser steps."""
        batch = int(self.cfg.train.batch_size)
        return -(-int(self.images or self.cfg.train.total_nimg) // batch) * batch

    @property
    def arguments(self) -> list[str]:
        """Of `difflab`: on from its checkpoint, if there is one."""
        if Run(self.job.path).checkpoint.exists():
            return ["train", f"resume={self.job.path}"]
        images = [] if self.images is None else [f"train.total_nimg={self.images}"]
        return ["train", f"config={self.job.config}", *images]

    @property
    def is_finished(self) -> bool:
        """A failure after the result is looked at again."""
        return Run(self.job.path).result.exists() and self.job.read_status().state != "failed"


class Attempt:
    """A process at work on a task."""

    def __init__(self, task: Task, process: Process, began: int) -> None:
        self.task, self.process, self.began = task, process, began
        self.before = task.job.read_status()
        self.start = time.monotonic()
        self.ending: State | None = None  # as what it was told to end
        task.job.write_status(replace(self.before, state="running", message=None, started=_now()))

    @staticmethod
    def at(task: Task, launcher: Launcher, slot: int) -> "Attempt":
        """Start it, or wait for the process that is at work on it already."""
        job, began = task.job, _size(task.job.log)
        if is_held(job.path):
            return Attempt(task, Orphan(job), began)
        return Attempt(task, launcher.start(job, task.arguments, slot, int(task.cfg.trainer.devices)), began)

    def end_as(self, state: State) -> None:
        """Ask it to end: stopped by the user, or pruned by the search."""
        self.ending = state
        self.process.stop()

    def outcome(self) -> Status | None:
        """How it ended, written to status.json; "waiting" if another process was at work; None while it runs."""
        code = self.process.poll()
        if code is None:
            return None
        seconds = round((self.before.seconds or 0.0) + time.monotonic() - self.start, 1)
        status = Status(*self._state(code), started=self.task.job.read_status().started, seconds=seconds)
        self.task.job.write_status(status)
        return status

    def _state(self, code: int) -> tuple[State, str | None]:
        done = Run(self.task.job.path).result.exists()
        if done and code in (0, BusyError.CODE):
            return "finished", None
        if self.ending is not None:
            return self.ending, None
        if code == BusyError.CODE:
            return "waiting", None
        return "failed", _reason(code, _said(self.task.job.log, self.began))


def _reason(code: int, said: Sequence[str]) -> str:
    """The last `difflab: ...` line of the log, or what else is known."""
    errors = [line.removeprefix("difflab: ") for line in said if line.startswith("difflab: ")]
    if errors:
        return errors[-1]
    if code < 0:
        return f"it was ended by signal {-code}" + (" (out of memory?)" if code == -signal.SIGKILL else "")
    return said[-1] if said else f"it ended with exit code {code} and no word"


def _said(log: Path, began: int) -> list[str]:
    """The lines at the end of a log, from a byte on."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(began, _size(log) - _TAIL))
        lines = file.read().decode(errors="replace").splitlines()
    return [line.strip() for line in lines if line.strip()]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
