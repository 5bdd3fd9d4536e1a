"""Two processes on one machine: one run directory, every image once, the same weights on both."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from difflab.runs import Run, read_metrics

# What learns beside the network has to be the same on both.
LEARNING = ("times=loss_aware", "times.levels=4", "times.history=2", "weighting=learned_uncertainty")


@pytest.mark.slow
@pytest.mark.parametrize("learning", [(), LEARNING], ids=["plain", "learning"])
def test_two_processes_share_a_run(tmp_path: Path, learning: tuple[str, ...]) -> None:
    command = [
        sys.executable, "-m", "difflab.cli", "train", "experiment=smoke", f"runs={tmp_path}", "logger=none",
        "metrics=none", "trainer.devices=2", "trainer.strategy=ddp", "train.total_nimg=1024", *learning,
    ]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k != "DIFFLAB_RUN"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    (run,) = (Run(p) for p in tmp_path.glob("*/*"))
    assert done.stdout.splitlines()[-1] == f"run: {run.path}"
    assert done.stdout.count("GFLOP/image") == 1
    checkpoint = torch.load(run.checkpoint, weights_only=True)
    assert (checkpoint["nimg"], checkpoint["global_step"]) == (1024, 16)  # 64 images a step in all
    if learning:
        assert checkpoint["state_dict"]["objective.times.seen"].sum() == 1024  # of both
    assert [row["nimg"] for row in read_metrics(run) if "loss" in row] == [256, 512, 768, 1024]
