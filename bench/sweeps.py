"""What a sweep costs beside its training: seconds from the end of a job to the first step of the next.

python bench/sweeps.py
"""

import json
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

TINY = (
    "experiment=smoke", "train.total_nimg=128", "train.batch_size=16", "callbacks.noise_loss.every_nimg=16",
    "metrics=none", "callbacks.samples.n=4", "logger=none", "train.seed=0,1,2",
)  # fmt: skip


def watch(runs: Path) -> tuple[dict[str, float], dict[str, float]]:
    """When each job had written the row of its first step, and when it had ended."""
    first: dict[str, float] = {}
    ended: dict[str, float] = {}
    command = [sys.executable, "-m", "difflab.cli", "train", "-m", f"runs={runs}", *TINY]
    sweep = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while sweep.poll() is None:
        for job in runs.glob("sweeps/*/jobs/*"):
            if (job / "metrics.jsonl").exists():
                first.setdefault(job.name, time.monotonic())
            status = job / "status.json"
            if status.exists() and json.loads(status.read_text())["state"] == "finished":
                ended.setdefault(job.name, time.monotonic())
        time.sleep(0.05)
    return first, ended


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, ended = watch(Path(folder))
    names = sorted(first)
    for before, after in pairwise(names):
        print(f"from the end of {before} to the first step of {after}: {first[after] - ended[before]:.1f} s")


if __name__ == "__main__":
    main()
