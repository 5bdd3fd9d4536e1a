"""logger=csv: metrics.csv, the rows of metrics.jsonl as a table."""

import csv

from difflab.files import replacing
from difflab.runs.directory import Run, read_metrics
from difflab.trackers.base import Tracker


class CsvTable(Tracker):
    """Written when the run closes, with a column for everything that was ever measured."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def close(self, failed: bool) -> None:
        rows = read_metrics(self.run)
        names = list(dict.fromkeys(name for row in rows for name in row))
        with replacing(self.run.path / "metrics.csv") as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
