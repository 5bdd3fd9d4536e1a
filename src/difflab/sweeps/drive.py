"""Keep every slot busy until there is nothing left to do, whatever becomes of single jobs."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from difflab.errors import DifflabError
from difflab.progress import images_bar
from difflab.sweeps.attempt import Attempt, Task
from difflab.sweeps.folder import Status
from difflab.sweeps.processes import Launcher
from difflab.sweeps.seen import Seen

POLL = 0.2  # seconds between two looks at the jobs


@runtime_checkable
class Supply(Protocol):
    """Where tasks come from: a list, or a search that asks for the next one when it knows more."""

    total_nimg: int
    """Images of all of them, as far as is known."""

    def next(self) -> Task | None:
        """The next one that is not finished; None where there is none for now."""

    def hopeless(self, task: Task) -> bool:
        """Whether it may be ended before its time."""

    def ended(self, task: Task, status: Status) -> None:
        """What became of it."""


class Drive:
    """Runs the tasks of a supply, `slots` side by side."""

    def __init__(self, supply: Supply, launcher: Launcher, slots: int, seen: Seen) -> None:
        self.supply, self.launcher, self.seen = supply, launcher, seen
        self.running: dict[int, Attempt | None] = dict.fromkeys(range(slots))

    def run(self) -> None:
        """Raises DifflabError where a Ctrl-C or a SIGTERM ends it: the jobs have kept their last step then."""
        with _sigterm_as_ctrl_c(), images_bar("sweep", self.supply.total_nimg, self.seen.images) as advance:
            try:
                while self._fill() or self._busy():
                    time.sleep(POLL)
                    self._look()
                    advance(self.seen.more(), f"{len(self._busy())} at work")
            except BaseException as error:  # no job outlives its sweep, unless that is killed
                self._stop()
                if not isinstance(error, KeyboardInterrupt):
                    raise
                raise DifflabError(
                    "stopped: every job has kept its last step, and the same command goes on with all of them"
                ) from None

    def _busy(self) -> list[Attempt]:
        return [attempt for attempt in self.running.values() if attempt is not None]

    def _fill(self) -> bool:
        """Start what there is room for; whether anything was started."""
        started = False
        for slot in [slot for slot, attempt in self.running.items() if attempt is None]:
            if (task := self.supply.next()) is None:
                break
            self._start(slot, task)
            started = True
        return started

    def _start(self, slot: int, task: Task) -> None:
        self.running[slot] = Attempt.at(task, self.launcher, slot)
        print(f"{task.job.number:03d} begins: {task.job.name}", flush=True)

    def _look(self) -> None:
        for slot, attempt in self.running.items():
            if attempt is None:
                continue
            status = attempt.outcome()
            if status is None:
                if attempt.ending is None and self.supply.hopeless(attempt.task):
                    attempt.end_as("pruned")
            elif status.state == "waiting":  # another process was at work on it: see what it left to do
                self.running[slot] = Attempt.at(attempt.task, self.launcher, slot)
            else:
                self.running[slot] = None
                self._settle(attempt.task, status)

    def _settle(self, task: Task, status: Status) -> None:
        reason = f": {status.message}" if status.message else ""
        print(
            f"{task.job.number:03d} {status.state} after {status.seconds:,.0f} s: {task.job.name}{reason}", flush=True
        )
        self.supply.ended(task, status)

    def _stop(self) -> None:
        """Ask all to end and wait for them; a second Ctrl-C ends them at once."""
        print(f"stopping {len(self._busy())} jobs, each keeps its last step (Ctrl-C again: at once)", flush=True)
        for attempt in self._busy():
            attempt.end_as("stopped")
        try:
            while any(attempt.outcome() is None for attempt in self._busy()):
                time.sleep(POLL)
        except KeyboardInterrupt:
            for attempt in self._busy():
                attempt.process.kill()


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
