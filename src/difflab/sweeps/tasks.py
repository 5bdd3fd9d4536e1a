"""From checked jobs to tasks: what a job is told lies in its folder before it starts."""

from dataclasses import replace

from omegaconf import DictConfig

from difflab.runs.locks import is_held
from difflab.sweeps.attempt import Task
from difflab.sweeps.budgets import Budgets
from difflab.sweeps.checks import Checked, write_config
from difflab.sweeps.folder import Job, Status


class Tasks:
    """Makes them, with minutes turned into images."""

    def __init__(self, budgets: Budgets) -> None:
        self.budgets = budgets

    def of(self, found: Checked) -> Task | None:
        """A task with its job.yaml; None for a job that can't be composed, which has failed then, and is said.

        Raises DifflabError where conf/ has changed since the sweep began.
        """
        if found.cfg is None:
            found.job.write_status(Status("failed", found.problem))
            print(f"{found.job.number:03d} failed: {found.job.name}: {found.problem}")
            return None
        write_config(found)
        _wait(found.job)
        return self.task(found.job, found.cfg)

    def task(self, job: Job, cfg: DictConfig) -> Task:
        """Nothing is written."""
        return Task(job, cfg, self.budgets.of(cfg))


def _wait(job: Job) -> None:
    """What was cut off is no longer at work; what has failed is so until it is tried again."""
    status = job.read_status()
    if status.state in ("waiting", "running", "stopped") and not is_held(job.path):
        job.write_status(replace(status, state="waiting"))
