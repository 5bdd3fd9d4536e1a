"""How many images jobs have seen, by the last row that each has written."""

import json
from collections.abc import Sequence
from contextlib import suppress

from difflab.runs.directory import Run
from difflab.sweeps.attempt import Task

_TAIL = 4_000  # bytes: more than a row


class Seen:
    """Of all tasks of a sweep; `tasks` may grow."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tasks
        self._told = self.images

    @property
    def images(self) -> int:
        return sum(nimg_of(task) for task in self.tasks)

    def more(self) -> int:
        """Since the last call; less than none where a job has begun anew."""
        before, self._told = self._told, self.images
        return self._told - before


def nimg_of(task: Task) -> int:
    """Images that the task's run has seen."""
    path = Run(task.job.path).metrics
    if task.is_finished:
        return task.total_nimg
    if not path.exists():
        return 0
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        lines = file.read().decode(errors="replace").splitlines()
    for line in reversed(lines):
        with suppress(ValueError, KeyError, TypeError):
            return int(json.loads(line)["nimg"])
    return 0
