"""Where measurements go: metrics.jsonl always, and the tracker that logger= names."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from difflab.files import replacing
from difflab.metrics.protocol import Figure
from difflab.runs.directory import Run, read_rows
from difflab.trackers.base import Tracker


class Recorder:
    """Writes rows of measurements to the run directory and to the run's tracker, over the images seen."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.tracker = Tracker()  # opened when the run is
        self._start = time.monotonic()

    @property
    def wall_s(self) -> float:
        """Seconds since the run began, counting all its sessions."""
        return time.monotonic() - self._start

    def rewind(self, nimg: int, wall_s: float) -> None:
        """Forget rows later than the checkpoint that is resumed, and go on with its clock."""
        for path in (self.run.metrics, self.run.figures):
            rows = [row for row in read_rows(path) if row["nimg"] <= nimg]
            with replacing(path) as temporary:
                temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
        self._start = time.monotonic() - wall_s

    def log(self, nimg: int, values: Mapping[str, float]) -> None:
        self.tracker.log(self._written(nimg, values))

    def figures(self, nimg: int, rows: Mapping[str, Figure]) -> None:
        """Figures by the names of their rows: values to the curves, with errors and protocols to figures.jsonl."""
        with self.run.figures.open("a") as file:
            for name, figure in rows.items():
                file.write(json.dumps({"nimg": nimg, "row": name, **figure.to_json()}) + "\n")
        self.tracker.figures(self._written(nimg, {name: figure.value for name, figure in rows.items()}), rows)

    def picture(self, nimg: int, name: str, path: Path, caption: str = "") -> None:
        """A PNG or GIF that lies in the run directory, sent to a tracker that shows pictures."""
        self.tracker.picture(nimg, name, path, caption)

    def _written(self, nimg: int, values: Mapping[str, float]) -> dict[str, Any]:
        """The row, which metrics.jsonl now has."""
        row = {"nimg": nimg, "wall_s": round(self.wall_s, 3), **values}
        with self.run.metrics.open("a") as file:
            file.write(json.dumps(row) + "\n")
        return row


def open_tracker(cfg: DictConfig, run: Run) -> Tracker:
    """What logger= names; it asks no question."""
    if cfg.logger.kind == "wandb":
        from difflab.trackers.wandb_run import WandbRun

        return WandbRun(cfg, run)
    if cfg.logger.kind == "tensorboard":
        from difflab.trackers.tensorboard import TensorBoard

        return TensorBoard(run)
    if cfg.logger.kind == "csv":
        from difflab.trackers.csv_table import CsvTable

        return CsvTable(run)
    return Tracker()
