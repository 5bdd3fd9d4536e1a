"""A search by Optuna: it asks for the next trial, learns from each, and gives up the hopeless."""

import math
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from difflab.runs.directory import Run
from difflab.sweeps.attempt import Task
from difflab.sweeps.checks import checked
from difflab.sweeps.folder import Job, Status, Sweep
from difflab.sweeps.judged import final, proxies
from difflab.sweeps.space import Space
from difflab.sweeps.study import cut_off, load_optuna, sampler
from difflab.sweeps.tasks import Tasks

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial


class Search:
    """The trials of a study, as tasks; those that were cut off are gone on with."""

    def __init__(self, study: "Study", space: Space, cfg: DictConfig, trials: "Trials", nimg: int) -> None:
        """nimg: of a trial, as far as is known."""
        self.study, self.space, self.cfg, self.trials = study, space, cfg, trials
        self.tasks: list[Task] = []
        self._at_work: dict[int, Trial] = {}
        self._reported: dict[int, int] = {}  # images of the last figure that Optuna knows of a trial
        self._cut_off = cut_off(study)
        self.total_nimg = nimg * max(0, cfg.trials - self._asked() + len(self._cut_off))

    def next(self) -> Task | None:
        """A trial that was cut off, else a new one, up to the number that is asked for."""
        while (trial := self._trial()) is not None:
            task = self.trials.task(trial)
            if isinstance(task, str):
                self._tell_failed(trial, task)
                continue
            self._at_work[trial.number] = trial
            self.tasks.append(task)
            if not task.is_finished:
                return task
            self.ended(task, Status("finished"))
        return None

    def hopeless(self, task: Task) -> bool:
        """Whether its proxy figure is worse than the median of the trials before, at as many images."""
        trial = self._at_work[task.job.number]
        return self._report(trial, task) and bool(self.cfg.prune and trial.should_prune())

    def ended(self, task: Task, status: Status) -> None:
        """What Optuna learns of it; one that was stopped stays open."""
        trial = self._at_work.pop(task.job.number)
        self._report(trial, task)  # later trials are judged beside all of it
        if status.state == "finished":
            self._tell(trial, final(Run(task.job.path), self.cfg.figure))
        elif status.state == "pruned":
            self.study.tell(trial, state=load_optuna().trial.TrialState.PRUNED)
        elif status.state == "failed":
            self._tell_failed(trial, status.message or "")

    def _report(self, trial: "Trial", task: Task) -> bool:
        """Tell Optuna of proxy figures that it does not know yet; whether there were any."""
        known = self._reported.get(trial.number, -1)
        new = {nimg: value for nimg, value in proxies(Run(task.job.path), self.cfg.figure).items() if nimg > known}
        for nimg, value in new.items():
            trial.report(value, nimg)
            self._reported[trial.number] = nimg
        return bool(new)

    def _trial(self) -> "Trial | None":
        if self._cut_off:
            trial: Trial = load_optuna().Trial(self.study, self._cut_off.pop(0)._trial_id)
            return trial
        if self._asked() >= self.cfg.trials:
            return None
        self.study.sampler = sampler(self.cfg.seed, self._asked())
        return self.study.ask(self.space.searched)

    def _asked(self) -> int:
        return len(self.study.get_trials(deepcopy=False))

    def _tell(self, trial: "Trial", value: float) -> None:
        if math.isfinite(value):
            self.study.tell(trial, value)
        else:
            self._tell_failed(trial, f"its {self.cfg.figure} is {value}")

    def _tell_failed(self, trial: "Trial", why: str) -> None:
        trial.set_user_attr("failed", why)
        self.study.tell(trial, state=load_optuna().trial.TrialState.FAIL)


class Trials:
    """The jobs of a study's trials: sweep.json grows with them."""

    def __init__(self, sweep: Sweep, study: "Study", space: Space, tasks: Tasks) -> None:
        self.space, self.tasks, self.sweep = space, tasks, sweep
        begun = [trial for trial in study.get_trials(deepcopy=False) if self._is_whole(trial)]
        self.sweep = sweep.with_jobs([self._job(trial) for trial in begun])
        self.sweep.write()

    def task(self, trial: "Trial") -> Task | str:
        """Of a trial, or why there is none."""
        if not self._is_whole(trial):
            return "it was cut off before it had all its values"
        job = self._job(trial)
        if job not in self.sweep.jobs:
            self.sweep = self.sweep.with_jobs([*self.sweep.jobs, job])
            self.sweep.write()
        found = checked(self.sweep, job)
        return self.tasks.of(found) or str(found.problem)

    def _job(self, trial: "Trial | FrozenTrial") -> Job:
        words = self.space.words(trial.params)
        return self.sweep.job(trial.number, words.all, words.swept)

    def _is_whole(self, trial: "Trial | FrozenTrial") -> bool:
        return trial.params.keys() == self.space.searched.keys()
