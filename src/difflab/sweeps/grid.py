"""A list of tasks, each run once, what is finished left as it is."""

from collections.abc import Sequence

from difflab.files import read_json
from difflab.runs.directory import Run
from difflab.sweeps.attempt import Task
from difflab.sweeps.folder import Status


class Grid:
    """All combinations."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.total_nimg = sum(task.total_nimg for task in tasks)
        self._left = iter(tasks)

    def next(self) -> Task | None:
        for task in self._left:
            if not task.is_finished:
                return task
            skip(task)
        return None

    def hopeless(self, task: Task) -> bool:
        return False

    def ended(self, task: Task, status: Status) -> None:
        pass


def skip(task: Task) -> None:
    """A task that is finished, perhaps by a process whose sweep was killed before it could say so."""
    status = task.job.read_status()
    if status.state != "finished":
        seconds = read_json(Run(task.job.path).result)["wall_s"]
        task.job.write_status(Status("finished", None, status.started, seconds))
    print(f"{task.job.number:03d} is finished: {task.job.name}", flush=True)
