"""Where a job runs: as a process of this machine, or in one that another sweep has left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol, runtime_checkable

from difflab.errors import BusyError
from difflab.runs.locks import holder_here, is_held
from difflab.sweeps.environment import environment_of_a_job, gpus_of_a_slot, threads_of_a_job
from difflab.sweeps.folder import Job

COMMAND = (sys.executable, "-m", "difflab.cli")


@runtime_checkable
class Process(Protocol):
    """A job at work."""

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""

    def stop(self) -> None:
        """Ask it to keep its last step and end."""

    def kill(self) -> None:
        """End it at once, with its ranks."""


@runtime_checkable
class Launcher(Protocol):
    """Starts jobs."""

    def start(self, job: Job, arguments: Sequence[str], slot: int, devices: int) -> Process:
        """`difflab` with these arguments, its output behind that in log.txt. slot: which of those side by side."""


class Local:
    """`at_once` processes of this machine share its cores and the GPUs that are visible here."""

    def __init__(self, at_once: int, gpus: Sequence[str] | None = None) -> None:
        self.at_once, self.gpus = at_once, gpus

    def start(self, job: Job, arguments: Sequence[str], slot: int, devices: int) -> "LocalProcess":
        threads = threads_of_a_job(self.at_once, devices)
        gpus = gpus_of_a_slot(slot, devices, self.gpus) if self.gpus else None
        with job.log.open("ab") as log:
            return LocalProcess(started([*COMMAND, *arguments], environment_of_a_job(threads, gpus), log.fileno()))


def started(command: Sequence[str], environment: dict[str, str], log: int) -> "subprocess.Popen[bytes]":
    """In a process group of its own: a terminal's Ctrl-C is the sweep's, which then ends its jobs gently."""
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )


class LocalProcess:
    """A child of this process."""

    def __init__(self, child: "subprocess.Popen[bytes]") -> None:
        self.child = child

    def poll(self) -> int | None:
        return self.child.poll()

    def stop(self) -> None:
        self.child.terminate()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)


class Orphan:
    """A job of a sweep that was killed, which lives on: it holds the lock of its directory."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def poll(self) -> int | None:
        """Nobody hears its exit code; 75 says: look again."""
        return None if is_held(self.job.path) else BusyError.CODE

    def stop(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        if (process := holder_here(self.job.path)) is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, number)
