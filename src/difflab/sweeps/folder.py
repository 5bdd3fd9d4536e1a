"""The sweep folder, runs/sweeps/<label>/: the contract between a sweep and everything that reads it.

sweep.json          what is swept, and the jobs with their overrides
jobs/<nnn>-<slug>/  a job: of train a whole run directory, with job.yaml (what it was told), log.txt and status.json
study.db            the trials of a search
report.html         made at the end
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from difflab.files import read_json, write_json

State = Literal["waiting", "running", "finished", "failed", "pruned", "stopped"]
LOG = "log.txt"
SLUG = 80  # characters of a folder's name: file systems take 255, and eyes fewer


@dataclass(frozen=True)
class Status:
    """How a job is. message: why it failed. started: ISO time. seconds: it took, over all its sessions."""

    state: State = "waiting"
    message: str | None = None
    started: str | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Job:
    """One of the sweep: its number, its folder, all its words for the verb, and what tells it from the others."""

    number: int
    path: Path
    words: list[str]
    overrides: dict[str, str]

    @property
    def name(self) -> str:
        return named(self.overrides)

    @property
    def config(self) -> Path:
        return self.path / "job.yaml"

    @property
    def log(self) -> Path:
        return self.path / LOG

    def read_status(self) -> Status:
        path = self.path / "status.json"
        return Status(**read_json(path)) if path.exists() else Status()

    def write_status(self, status: Status) -> None:
        write_json(self.path / "status.json", asdict(status))


@dataclass(frozen=True)
class Sweep:
    """A sweep and where it lies. The fields up to `jobs` are those of sweep.json."""

    path: Path
    verb: str
    name: str | None
    experiment: str | None
    source: str | None  # from= of an evaluation
    overrides: list[str]
    swept: list[str]
    x: str | None = None
    question: str | None = None
    jobs: tuple[Job, ...] = ()

    @property
    def label(self) -> str:
        return self.path.name

    def job(self, number: int, words: Sequence[str], overrides: Mapping[str, str]) -> Job:
        """One with its folder's name; nothing is made yet."""
        slug = re.sub(r"[^\w.,=+-]+", "_", named(overrides).replace(" ", ","))[:SLUG].strip("_,")
        name = f"{number:03d}-{slug}" if slug else f"{number:03d}"
        return Job(number, self.path / "jobs" / name, list(words), dict(overrides))

    def with_jobs(self, jobs: Sequence[Job]) -> "Sweep":
        return replace(self, jobs=tuple(jobs))

    def write(self) -> None:
        """sweep.json, whole or not at all."""
        write_json(self.path / "sweep.json", self.to_json())

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "verb": self.verb,
            "experiment": self.experiment,
            "from": self.source,
            "overrides": self.overrides,
            "swept": self.swept,
            "x": self.x,
            "question": self.question,
            "jobs": [
                {"number": job.number, "folder": str(job.path.relative_to(self.path)), "overrides": job.overrides}
                for job in self.jobs
            ],
        }


def label(verb: str, name: str | None, about: str | None, words: Sequence[str], swept: Sequence[str]) -> str:
    """What the same command always calls its sweep: where it lies (runs=) does not count."""
    counted = [word for word in words if not word.startswith("runs=")]
    digest = hashlib.sha256(json.dumps([verb, *counted]).encode()).hexdigest()[:8]
    keys = "-".join(re.sub(r"[^\w.]+", "", key) for key in swept)[:SLUG] or "sweep"
    return "-".join(part for part in (name or keys, about, digest) if part)


def named(overrides: Mapping[str, str]) -> str:
    """`schedule=cosine prediction=eps`."""
    return " ".join(f"{key}={value}" for key, value in overrides.items())
