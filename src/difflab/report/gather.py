"""What a run directory holds, for its report: whatever is missing or damaged is left out, and said."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from difflab.metrics.protocol import Figure, Together, by_samples
from difflab.runs.directory import Run, is_of_the_end, read_metrics, read_rows
from difflab.scoring.comparison import is_floor

Row = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """A figure that was measured while training, at `nimg` images; its `row` in metrics.jsonl."""

    nimg: int
    row: str
    figure: Figure


@dataclass(frozen=True)
class Finding:
    """What a verb found about the run after it was trained: figures, words and a picture of a file of its own."""

    verb: str
    path: Path
    place: Path
    """In the folder of what was made with the run."""
    figures: list[Figure]
    words: list[str] = field(default_factory=list)
    picture: Path | None = None

    @property
    def together(self) -> list[Together]:
        return list(by_samples(self.figures))


@dataclass(frozen=True)
class Found:
    """A run as it lies on the disk, finished or not."""

    run: Run
    cfg: DictConfig
    rows: list[Row]
    measured: list[Measured]
    result: dict[str, Any]
    findings: list[Finding]
    problems: list[str]

    @property
    def nimg(self) -> int:
        """Images seen."""
        return int(self.result.get("nimg") or max((row["nimg"] for row in self.rows), default=0))

    @property
    def is_exported(self) -> bool:
        return self.run.model.is_file() and not self.run.checkpoint.exists()

    @property
    def wall_s(self) -> int | float | None:
        """Seconds it took, over all its sessions."""
        of_rows = max((row.get("wall_s", 0.0) for row in self.rows), default=None)
        return self.result.get("wall_s", of_rows)

    @property
    def figures(self) -> list[Figure]:
        """The final ones; of a run that has not ended, those measured last."""
        if self.result.get("figures"):
            return [figure for figure in read_figures(self.result) if not is_floor(figure)]
        last = {measured.row: measured for measured in self.measured}
        full = [m.figure for m in last.values() if m.row.startswith("figures/")]
        return full or [m.figure for m in last.values()]

    @property
    def grids(self) -> dict[int, Path]:
        """The grids of samples by images seen."""
        found = {_nimg_of(path): path for path in self.run.samples.glob("nimg=*.png")}
        return {nimg: found[nimg] for nimg in sorted(found)}

    @property
    def film(self) -> Path | None:
        path = self.run.samples / "reverse.gif"
        return path if path.is_file() else None


def read_run(path: Path) -> Found:
    """Raises DifflabError where there is no config.yaml: that is no run."""
    run = Run(path)
    problems: list[str] = []
    cfg = run.read_config()
    rows = [row for row in read_metrics(run) if isinstance(row, dict) and isinstance(row.get("nimg"), int)]
    measured = list(_measured(read_rows(run.figures), problems))
    result = _result(run, rows, problems)
    return Found(run, cfg, rows, measured, result, list(_findings(run, problems)), problems)


def _result(run: Run, rows: Sequence[Row], problems: list[str]) -> dict[str, Any]:
    """result.json; empty where the run has not ended, or has gone on since."""
    result = read_object(run.result, problems) if run.result.exists() else {}
    if is_of_the_end(result, rows):
        return result
    problems.append(f"result.json is of {result['nimg']:,} images, and the run has gone on since: it is left out")
    return {}


def _measured(rows: Sequence[Any], problems: list[str]) -> Iterator[Measured]:
    for row in rows:
        try:
            yield Measured(row["nimg"], row["row"], Figure.from_json(row))
        except (KeyError, TypeError):
            problems.append("figures.jsonl has a row that is no figure")


def read_object(path: Path, problems: list[str]) -> dict[str, Any]:
    """A JSON object, empty where the file is damaged or holds something else, which is added to `problems`."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        problems.append(f"{path.name} can't be read ({type(error).__name__})")
        return {}
    if not isinstance(found, dict):
        problems.append(f"{path.name} holds no object")
        return {}
    return found


def read_figures(found: dict[str, Any]) -> list[Figure]:
    """Those of a result or an evaluation; what is no figure with a value is left out."""
    figures = found.get("figures") or []
    return [Figure.from_json(each) for each in figures if isinstance(each, dict) and _is_figure(each)]


def _is_figure(each: dict[str, Any]) -> bool:
    return each.keys() >= {"name", "value", "error", "protocol"} and isinstance(each["value"], int | float)


def _findings(run: Run, problems: list[str]) -> Iterator[Finding]:
    """The newest first, verb by verb: of a model that comes with difflab, what it came with and what was made here."""
    for verb, pattern, picture in (
        ("evaluate", "evaluations/*.json", None),
        ("novelty", "novelty/*/novelty.json", "novelty.png"),
        ("likelihood", "likelihood/*/likelihood.json", "terms.png"),
        ("agreement", "agreement/*/agreement.json", "agreement.png"),
    ):
        places = {file.relative_to(folder): file for folder in (run.path, run.outputs) for file in folder.glob(pattern)}
        for place, file in sorted(places.items(), reverse=True):
            found = read_object(file, problems)
            beside = file.with_name(picture) if picture else None
            shown = beside if beside and beside.is_file() else None
            words = [str(word) for word in found.get("words") or []]
            yield Finding(verb, file, place, read_figures(found), words, shown)


def _nimg_of(path: Path) -> int:
    found = re.fullmatch(r"nimg=(\d+)", path.stem)
    return int(found[1]) if found else -1
