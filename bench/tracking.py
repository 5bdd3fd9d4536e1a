"""What W&B costs a training: the default experiment in one process, tracked offline and not tracked in turn.

A window is what conf/callbacks/default.yaml logs once (2,000 images); every other window has W&B, the others have none,
so that a machine that slows down slows both. Two measurements:

- the ratio of the windows' seconds, pair by pair, with its standard error: what a user would see, as far as this
  machine is quiet enough to show it;
- what tracking has used up: seconds of the training process, at the rate of a run (a grid of samples every ten
  windows), and the processor seconds of the process to which wandb hands its rows, start and end included, against the
  tracked windows alone, and as if no core were free. This is an upper bound that noise hardly touches.

    .venv/bin/python bench/tracking.py [pairs of windows]
"""

import math
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
import wandb

from difflab import assemble, train
from difflab.callbacks.parts import assemble_callbacks
from difflab.config.compose import compose
from difflab.data.module import DataModule
from difflab.trackers.base import Tracker
from difflab.tracking import Recorder
from difflab.training.quiet import quiet_lightning
from difflab.training.session import Checkpoint, opened, planned_run
from difflab.training.trainer import lightning, load_data

WINDOW = 2_000  # images: every_nimg of noise_loss and throughput
WINDOWS_A_GRID = 10  # every_nimg of samples


class Timed(Tracker):
    """Another tracker, and the seconds that it keeps the training waiting."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker, self.seconds = tracker, 0.0

    def log(self, row: Mapping[str, Any]) -> None:
        self.seconds += seconds(lambda: self.tracker.log(row))


class Turns(pl.Callback):
    """Gives the tracker to every other window, the first one included, and times all but the first pair."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder, self.tracker = recorder, Timed(recorder.tracker)
        self.windows: list[float] = []
        self._begun = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.recorder.tracker, self._begun = self.tracker, time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if pl_module.nimg_before // WINDOW == pl_module.nimg // WINDOW:
            return
        now = time.perf_counter()
        self.windows.append(now - self._begun)
        self._begun = now
        self.recorder.tracker = Tracker() if len(self.windows) % 2 else self.tracker

    def pairs(self) -> list[tuple[float, float]]:
        """Seconds of a tracked window and of the one after it, without the first pair."""
        return list(zip(self.windows[2::2], self.windows[3::2], strict=False))


def seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def main(pairs: int) -> None:
    quiet_lightning()
    with tempfile.TemporaryDirectory() as folder:
        report(*run(pairs, folder))


def run(pairs: int, folder: str) -> tuple[Turns, float, float]:
    """The windows, the seconds of handing a grid over, and the processor seconds of wandb's process."""
    cfg = compose("train", [
        f"runs={folder}", "metrics=none", "logger.mode=offline", f"train.total_nimg={2 * (pairs + 1) * WINDOW + 64}",
        "callbacks.samples.every_nimg=null", "callbacks.checkpoint.every_nimg=null", "callbacks.film.at=[]",
    ])  # fmt: skip
    data, module = load_data(cfg), train.untrained(cfg)
    recorder = Recorder(planned_run(cfg))
    parts = assemble_callbacks(cfg, module, assemble.generation(cfg), None, recorder)
    with opened(cfg, recorder, Checkpoint()):
        trainer, turns = lightning(cfg, module, parts.all(), recorder.run, Checkpoint()), Turns(recorder)
        trainer.callbacks.append(turns)  # type: ignore[attr-defined]
        trainer.fit(module, DataModule(data))
        tracker = recorder.tracker = turns.tracker.tracker
        grid = parts.samples.path(module.nimg)
        handing = statistics.median(
            seconds(lambda: tracker.picture(module.nimg, "samples/grid", grid, "")) for _ in range(9)
        )
    wandb.teardown()  # waits for its process, whose time is then known
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return turns, handing, used.ru_utime + used.ru_stime


def report(turns: Turns, handing: float, used: float) -> None:
    logs = [math.log(tracked / plain) for tracked, plain in turns.pairs()]
    error = statistics.stdev(logs) / len(logs) ** 0.5
    windows, every = len(turns.windows), sum(turns.windows) / len(turns.windows)
    own = turns.tracker.seconds / (windows / 2) / every
    pictures, process = handing / WINDOWS_A_GRID / every, used / sum(turns.windows[::2])
    print(f"{windows} windows of {WINDOW:,} images, {every:.1f} s each, {len(logs)} pairs")
    print(f"tracked / not tracked: {math.exp(statistics.mean(logs)):.4f} ± {error:.4f}")
    parts = f"rows {own:.3%}, grids {pictures:.3%}, wandb's process {process:.3%}"
    print(f"used up, at most {own + pictures + process:.2%}: {parts}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 6)
