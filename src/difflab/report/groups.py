"""Several runs beside each other: the jobs of a sweep folder, or runs that the user names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from difflab.comparison import is_floor
from difflab.errors import DifflabError
from difflab.metrics.protocol import Figure, differences, in_words
from difflab.report.gather import Found, read_figures, read_object, read_run
from difflab.report.origin import changes

STATES = ("waiting", "running", "finished", "failed", "pruned", "stopped")


@dataclass(frozen=True)
class Job:
    """One of several runs, or one evaluation of a sweep; `choices` is what tells it from the others."""

    number: int
    label: str
    choices: dict[str, Any]
    state: str
    message: str | None
    seconds: float | None
    folder: Path
    figures: list[Figure]
    grid: Path | None
    found: Found | None = None

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


@dataclass(frozen=True)
class Column:
    """Figures of one name that may be compared, by the number of their job; `note` says why others may not."""

    name: str
    figures: dict[int, Figure]
    note: str = ""


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
    return Job(job["number"], _label(choices), choices, state, message, seconds, folder, figures, shown, found)


def _last_grid(found: Found) -> Path | None:
    return list(found.grids.values())[-1] if found.grids else None


def _label(choices: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in choices.items())


def group_of(runs: Sequence[Found]) -> Group:
    """Runs that the user names, told apart by what differs in their configurations."""
    keys = differing([found.cfg for found in runs])
    names = _names([found.run.path for found in runs])
    jobs = [_named(i, found, names[i], keys) for i, found in enumerate(runs)]
    subject = ", ".join(dict.fromkeys(str(found.cfg.get("name", "")) for found in runs))
    return Group(f"{len(runs)} runs", None, subject, list(keys), None, jobs, [])


def _named(number: int, found: Found, name: str, keys: Mapping[str, Sequence[Any]]) -> Job:
    state = "finished" if found.result else "stopped"
    choices = {key: values[number] for key, values in keys.items()}
    grid = _last_grid(found)
    return Job(number, name, choices, state, None, found.wall_s, found.run.path, found.figures, grid, found)


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
    from omegaconf import OmegaConf

    value = OmegaConf.select(cfg, key)
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def columns(jobs: Sequence[Job]) -> list[Column]:
    """Figures by name, those of other protocols in columns of their own."""
    found: dict[str, list[Column]] = {}
    for job in jobs:
        for figure in job.figures:
            _put(found.setdefault(figure.name, []), job.number, figure)
    return [column for of_a_name in found.values() for column in of_a_name]


def _put(of_a_name: list[Column], number: int, figure: Figure) -> None:
    for column in of_a_name:
        first = next(iter(column.figures.values()))
        if not differences(first, figure) and number not in column.figures:
            column.figures[number] = figure
            return
    note = ""
    if of_a_name:
        first = next(iter(of_a_name[0].figures.values()))
        note = f"not comparable with the first {figure.name}: {in_words(differences(first, figure))}"
    of_a_name.append(Column(figure.name, {number: figure}, note))
