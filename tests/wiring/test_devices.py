"""Two processes on one machine: one run directory, every image once, the same weights on both."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from difflab.cli import main
from difflab.runs.directory import Run, read_metrics, read_rows
from tests.conftest import train

# What learns beside the network has to be the same on both.
LEARNING = ("times=loss_aware", "times.levels=4", "times.history=2", "weighting=learned_uncertainty")


def by_two(runs: Path, *overrides: str) -> tuple[Run, "subprocess.CompletedProcess[str]"]:
    """A run of 1,024 images, and what it printed."""
    experiment = [] if any(o.startswith("experiment=") for o in overrides) else ["experiment=smoke"]
    command = [
        sys.executable, "-m", "difflab.cli", "train", *experiment, f"runs={runs}", "logger=none",
        "trainer.devices=2", "trainer.strategy=ddp", "train.total_nimg=1024", *overrides,
    ]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k != "DIFFLAB_RUN"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    (run,) = (Run(p) for p in runs.glob("*/*"))
    return run, done


@pytest.mark.slow
@pytest.mark.parametrize("learning", [(), LEARNING], ids=["plain", "learning"])
def test_two_processes_share_a_run(tmp_path: Path, learning: tuple[str, ...]) -> None:
    run, done = by_two(tmp_path, "metrics=none", *learning)
    assert done.stdout.splitlines()[-1] == f"run: {run.path}"
    assert done.stdout.count("GFLOP/image") == 1
    checkpoint = torch.load(run.checkpoint, weights_only=True)
    assert (checkpoint["nimg"], checkpoint["global_step"]) == (1024, 16)  # 64 images a step in all
    if learning:
        assert checkpoint["state_dict"]["objective.times.seen"].sum() == 1024  # of both
    assert [row["nimg"] for row in read_metrics(run) if "train/loss" in row] == [256, 512, 768, 1024]


TEXT = (
    "experiment=emoji_text", "net=unet_tiny", "data.shape=[3,16,16]", "train.minutes=null", "train.batch_size=32",
    "grid.steps=2", "callbacks.samples.n=2", "callbacks.noise_loss.every_nimg=256",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [("condition=label", "guidance=classifier_free"), TEXT, ("latent=autoencoder",)],
    ids=["label", "text", "latents"],
)
def test_two_processes_learn_a_condition_and_latents(words: tuple[str, ...], tmp_path: Path) -> None:
    if "latent=autoencoder" in words:
        narrow = ("objective.autoencoder.width=8", "objective.autoencoder.multipliers=[1,2]", "logger=none")
        autoencoder = train(tmp_path / "autoencoders", "objective=reconstruction", *narrow, "train.total_nimg=128")
        words = (*words, f"latent.from={autoencoder.path}")
    run, _ = by_two(tmp_path / "two", "metrics=none", *words)
    checkpoint = torch.load(run.checkpoint, weights_only=True)
    assert checkpoint["nimg"] == 1024
    losses = [row["train/loss"] for row in read_metrics(run) if "train/loss" in row]
    assert len(losses) == 4 and all(map(math.isfinite, losses))
    assert main(["sample", f"from={run.path}", f"out={tmp_path / 'out'}", "n=2", "trainer.devices=1"]) == 0
    assert len(list((tmp_path / "out").glob("0*.png"))) == 2


@pytest.mark.slow
def test_two_processes_have_the_figures_of_one(tmp_path: Path) -> None:
    """n = 33 does not divide by two: the last sample of the second process is made for nothing."""
    run, done = by_two(tmp_path / "runs", "metrics.n=33", "callbacks.evaluation.proxy.every_nimg=512")
    out = tmp_path / "figures.json"
    assert main(["evaluate", f"from={run.path}", "floor=false", f"out={out}", "trainer.devices=1"]) == 0
    alone = {figure["name"]: figure["value"] for figure in json.loads(out.read_text())["figures"]}
    together = {figure["name"]: figure["value"] for figure in json.loads(run.result.read_text())["figures"]}
    assert together == pytest.approx(alone, rel=1e-4)
    assert [row["nimg"] for row in read_rows(run.figures) if row["row"].startswith("proxy/fd")] == [512]
    assert done.stdout.count("figures while training took") == 1
