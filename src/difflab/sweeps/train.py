"""A sweep of training runs, each a process of its own: a grid of jobs, or a search."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from difflab.runs.locks import held
from difflab.sweeps import table
from difflab.sweeps.budgets import Budgets
from difflab.sweeps.checks import checked, refuse_nonsense
from difflab.sweeps.drive import Drive
from difflab.sweeps.environment import threads_of_a_job
from difflab.sweeps.expand import expand
from difflab.sweeps.folder import Sweep
from difflab.sweeps.grid import Grid
from difflab.sweeps.launchers import launcher_of
from difflab.sweeps.seen import Seen
from difflab.sweeps.tasks import Tasks

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from optuna import Study

    from difflab.sweeps.search import Trials


def run(sweep: Sweep, overrides: "Sequence[Override]", settings: DictConfig, at_once: int | None) -> int:
    """Train all jobs of the grid, or the trials of a search; 0 if none has failed."""
    if settings.search.kind == "optuna":
        return _search(sweep, overrides, settings, at_once)
    words = expand(overrides)
    sweep = sweep.with_jobs([sweep.job(i, each.all, each.swept) for i, each in enumerate(words)])
    launcher, slots = launcher_of(settings.launcher, at_once)
    found = [checked(sweep, job) for job in sweep.jobs]
    refuse_nonsense(found)
    with held(sweep.path, "is a sweep that is run"):
        tasks = [task for task in map(_tasks(sweep, at_once).of, found) if task is not None]
        sweep.write()
        Drive(Grid(tasks), launcher, slots, Seen(tasks)).run()
    return _report(sweep)


def _search(sweep: Sweep, overrides: "Sequence[Override]", settings: DictConfig, at_once: int | None) -> int:
    from difflab.sweeps.judged import check_figure
    from difflab.sweeps.search import Search, Trials
    from difflab.sweeps.space import Space
    from difflab.sweeps.study import load_optuna, study_at

    load_optuna()
    space = Space(overrides)
    launcher, slots = launcher_of(settings.launcher, at_once, one_by_one=True)
    corners = [checked(sweep, sweep.job(0, words.all, words.swept)) for words in space.corners()]
    refuse_nonsense(corners)
    check_figure(settings.search, corners)
    with held(sweep.path, "is a sweep that is run"):
        study, tasks = study_at(sweep.path / "study.db", settings.search), _tasks(sweep, at_once)
        trials = Trials(sweep, study, space, tasks)
        nimg = next(tasks.task(corner.job, corner.cfg).total_nimg for corner in corners if corner.cfg is not None)
        search = Search(study, space, settings.search, trials, nimg)
        Drive(search, launcher, slots, Seen(search.tasks)).run()
    _say_best(study, trials, settings.search.figure)
    return _report(trials.sweep)


def _say_best(study: "Study", trials: "Trials", figure: str) -> None:
    from difflab.sweeps.study import best_trial

    if (best := best_trial(study)) is not None:
        job = next(job for job in trials.sweep.jobs if job.number == best.number)
        command = " ".join(["difflab", "train", *map(shlex.quote, job.words)])
        print(f"best: {best.number:03d}, {figure} {best.value:.4g}: {job.name}\nto train it: {command}")


def _tasks(sweep: Sweep, at_once: int | None) -> Tasks:
    return Tasks(Budgets(sweep.path / "budgets.json", threads_of_a_job(at_once or 1)))


def _report(sweep: Sweep) -> int:
    """The table of all jobs, the report, and the folder as the last line; 1 if any has failed."""
    from difflab.report import reported

    table.show(sweep.jobs, sweep.label)
    print(reported(sweep.path))
    print(f"sweep: {sweep.path}")
    return int(any(job.read_status().state == "failed" for job in sweep.jobs))
