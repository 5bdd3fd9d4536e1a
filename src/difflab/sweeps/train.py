"""A sweep of training runs: a grid of jobs, each a process of its own."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from difflab.files import read_json
from difflab.locks import held, is_held
from difflab.runs import Run
from difflab.sweeps import table
from difflab.sweeps.attempt import Task
from difflab.sweeps.budgets import Budgets
from difflab.sweeps.checks import Checked, checked, refuse_nonsense, write_config
from difflab.sweeps.drive import Drive
from difflab.sweeps.environment import threads_of_a_job
from difflab.sweeps.expand import expand
from difflab.sweeps.folder import Job, Status, Sweep
from difflab.sweeps.launchers import launcher_of
from difflab.sweeps.seen import Seen

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override


def run(sweep: Sweep, overrides: "Sequence[Override]", settings: DictConfig, at_once: int) -> int:
    """Train all jobs of the grid; 0 if every one is finished."""
    jobs = [sweep.job(i, words.all, words.swept) for i, words in enumerate(expand(overrides))]
    sweep = sweep.with_jobs(jobs)
    found = [checked(sweep, job) for job in jobs]
    refuse_nonsense(found)
    with held(sweep.path, "is a sweep that is run"):
        tasks = prepare(sweep, found, Budgets(sweep.path / "budgets.json", threads_of_a_job(at_once)))
        sweep.write()
        grid = Grid(tasks)
        launcher, slots = launcher_of(settings.launcher, at_once)
        Drive(grid, launcher, slots, Seen(tasks)).run()
    return report(sweep)


def prepare(sweep: Sweep, found: Sequence[Checked], budgets: Budgets) -> list[Task]:
    """A job.yaml and a status.json for each; what can't be composed has failed already, and is said.

    Raises DifflabError where conf/ has changed since the sweep began.
    """
    for one in found:
        if one.cfg is not None:
            write_config(one)
            _wait(one.job)
        else:
            one.job.write_status(Status("failed", one.problem))
            print(f"{one.job.number:03d} failed: {one.job.name}: {one.problem}")
    return [Task(one.job, one.cfg, budgets.of(one.cfg)) for one in found if one.cfg is not None]


def _wait(job: Job) -> None:
    """What was cut off is no longer at work; what has failed is so until it is tried again."""
    status = job.read_status()
    if status.state in ("waiting", "running", "stopped") and not is_held(job.path):
        job.write_status(replace(status, state="waiting"))


class Grid:
    """A list of tasks, each run once."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tasks
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


def report(sweep: Sweep) -> int:
    """The table of all jobs, and the folder as the last line; 1 if any has failed."""
    failed = sum(job.read_status().state == "failed" for job in sweep.jobs)
    table.show(sweep.jobs, sweep.label)
    print(f"sweep: {sweep.path}")
    return int(failed > 0)
