"""Several runs beside each other: the jobs of a sweep folder, or runs that the user names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from difflab.errors import DifflabError
from difflab.metrics.protocol import Figure
from difflab.report.draw import Look, look_of
from difflab.report.gather import Found, read_figures, read_object, read_run
from difflab.report.origin import changes
from difflab.scoring.comparison import is_floor

WORDS = 3  # settings that differ and still are a label


@dataclass(frozen=True)
class Job:
    """One of several runs, or one evaluation of a sweep.

    name: in the table. choices: what tells it from the others, and `label` the same in words.
    """

    number: int
    name: str
    label: str
    choices: dict[str, Any]
    state: str
    message: str | None
    seconds: int | float | None
    folder: Path
    figures: list[Figure]
    grid: Path | None
    found: Found | None = None

    @property
    def brief(self) -> str:
        """The label without the keys, which are the same for all; a single one is kept."""
        values = ", ".join(map(str, self.choices.values()))
        return values if len(self.choices) > 1 and self.label == in_words(self.choices) else self.label

    @property
    def report(self) -> Path | None:
        """The run's own, where it has one."""
        path = self.folder / "report.html"
        return path if path.is_file() else None

    @property
    def nimg(self) -> int | None:
        return self.found.nimg if self.found else None


@dataclass(frozen=True)
class Group:
    """`keys`: what differs between the jobs; `x`: the one that figures are drawn against."""

    title: str
    question: str | None
    subject: str
    keys: list[str]
    x: str | None
    jobs: list[Job]
    problems: list[str]

    @property
    def series(self) -> dict[str, list[Job]]:
        """Jobs that are one line over `x`, by what they share."""
        found: dict[str, list[Job]] = {}
        for job in self.jobs:
            others = {key: value for key, value in job.choices.items() if key != self.x}
            found.setdefault(in_words(others), []).append(job)
        return found

    @property
    def looks(self) -> dict[int, Look]:
        """By what a job is known in every plot: jobs of one line are alike."""
        if self.x is None:
            return {job.number: look_of(i) for i, job in enumerate(self.jobs)}
        return {job.number: look_of(i) for i, jobs in enumerate(self.series.values()) for job in jobs}


def is_sweep(path: Path) -> bool:
    return (path / "sweep.json").is_file()


def read_sweep(path: Path) -> Group:
    """Raises DifflabError for a sweep.json that does not list jobs."""
    problems: list[str] = []
    sweep = read_object(path / "sweep.json", problems)
    try:
        keys, jobs = list(sweep["swept"]), [_job(path, each, problems) for each in sweep["jobs"]]
    except (KeyError, TypeError) as error:
        raise DifflabError(f"{path / 'sweep.json'} lists no jobs ({type(error).__name__}: {error})") from error
    subject = sweep.get("experiment") or sweep.get("from") or ""
    title = sweep.get("name") or " × ".join(keys) or "sweep"
    return Group(title, sweep.get("question"), str(subject), keys, sweep.get("x"), jobs, problems)


def _job(path: Path, job: Mapping[str, Any], problems: list[str]) -> Job:
    folder, choices = path / job["folder"], dict(job["overrides"])
    status = read_object(folder / "status.json", problems) if (folder / "status.json").exists() else {}
    found = read_run(folder) if (folder / "config.yaml").is_file() else None
    result = read_object(folder / "result.json", problems) if (folder / "result.json").exists() else {}
    state, message, seconds = status.get("state", "waiting"), status.get("message"), status.get("seconds")
    figures = found.figures if found else [f for f in read_figures(result) if not is_floor(f)]
    grid = _last_grid(found) if found else folder / "grid.png"
    shown = grid if grid and grid.is_file() else None
    number = int(job["number"])
    return Job(number, str(number), in_words(choices), choices, state, message, seconds, folder, figures, shown, found)


def _last_grid(found: Found) -> Path | None:
    return list(found.grids.values())[-1] if found.grids else None


def in_words(choices: Mapping[str, Any]) -> str:
    """`schedule=cosine, prediction=v`."""
    return ", ".join(f"{key}={value}" for key, value in choices.items())


def group_of(runs: Sequence[Found]) -> Group:
    """Runs that the user names, told apart by what differs in their configurations."""
    keys = differing([found.cfg for found in runs])
    choices = [{key: values[i] for key, values in keys.items()} for i in range(len(runs))]
    names, words = _names([found.run.path for found in runs]), [in_words(each) for each in choices]
    labels = words if len(keys) <= WORDS and len(set(words)) == len(runs) else names
    jobs = [_named(i, *each) for i, each in enumerate(zip(runs, names, labels, choices, strict=True))]
    subject = ", ".join(dict.fromkeys(str(found.cfg.get("name", "")) for found in runs))
    return Group(f"{len(runs)} runs", None, subject, list(keys), None, jobs, [])


def _named(number: int, found: Found, name: str, label: str, choices: dict[str, Any]) -> Job:
    state, grid = "finished" if found.result else "stopped", _last_grid(found)
    return Job(
        number, name, label, choices, state, None, found.wall_s, found.run.path, found.figures, grid, found
    )  # fmt: skip


def _names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart."""
    for parts in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{path} ({i})" for i, path in enumerate(paths)]


def differing(configs: Sequence[DictConfig]) -> dict[str, list[Any]]:
    """Settings that are not the same in all, with their value in each; of another class only its name."""
    first, *others = configs
    keys = dict.fromkeys(change.key for cfg in others for change in changes(cfg, first))
    classes = [key.removesuffix("._target_") for key in keys if key.endswith("._target_")]
    inside = tuple(f"{name}." for name in classes)
    plain = [key for key in keys if not key.startswith(inside)] if inside else list(keys)
    table = {name: [_class(cfg, name) for cfg in configs] for name in classes}
    return table | {key: [_value(cfg, key) for cfg in configs] for key in plain}


def _class(cfg: DictConfig, name: str) -> str:
    return str(_value(cfg, f"{name}._target_")).rpartition(".")[2]


def _value(cfg: DictConfig, key: str) -> Any:
    value = OmegaConf.select(cfg, key)
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
