"""Sweeps of real processes: nothing is mixed, and whatever is killed, the results are the same to the bit."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from difflab.cli import main
from difflab.runs.directory import Run, read_metrics
from tests.wiring.test_resume import assert_equal, contents

TINY = (
    "experiment=smoke", "train.total_nimg=128", "train.batch_size=16", "callbacks.checkpoint.every_nimg=16",
    "callbacks.noise_loss.every_nimg=16", "metrics=none", "callbacks.samples.n=4",
)  # fmt: skip


def sweep(runs: Path, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "difflab.cli", "train", "-m", f"runs={runs}", *TINY, *words]
    return subprocess.Popen(
        command,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=hears_ctrl_c,
    )


def hears_ctrl_c() -> None:
    """Also where these tests run in the background of a shell, which makes its children deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finished(process: "subprocess.Popen[str]", code: int = 0) -> str:
    text, _ = process.communicate(timeout=3000)
    assert process.returncode == code, text
    return text


def folder_of(runs: Path) -> Path:
    (folder,) = (runs / "sweeps").iterdir()
    return folder


def jobs_of(runs: Path) -> list[Path]:
    folder = folder_of(runs)
    return [folder / job["folder"] for job in json.loads((folder / "sweep.json").read_text())["jobs"]]


def trained_here(job: Path, out: Path) -> Run:
    """The same configuration in this process, never cut off."""
    assert main(["train", f"config={job / 'job.yaml'}", f"run_dir={out}", "logger.kind=none"]) == 0
    return Run(out)


@contextmanager
def one_thread() -> Iterator[None]:
    """As the jobs have: sums over several threads are other sums."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def wait_for(condition: Any, process: "subprocess.Popen[str]") -> None:
    while not condition() and process.poll() is None:
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()[0]


def processes_of(folder: Path) -> list[int]:
    """Living processes that train in the folder, as the locks of the runs name them."""
    found = [path.read_text().split() for path in folder.glob("jobs/*/.lock")]
    return [int(words[1]) for words in found if len(words) > 1 and Path(f"/proc/{words[1]}").exists()]


def check_nothing_is_mixed(jobs: list[Path]) -> None:
    ids = []
    for job in jobs:
        (own,) = {path.name.rpartition("-")[2] for path in job.glob("wandb/offline-run-*")}
        assert Run(job).read_config().logger.run_id == own
        ids.append(own)
        assert len(list(job.glob("wandb/offline-run-*/*.wandb"))) >= 1
    assert len(set(ids)) == len(jobs)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("seeds", [2, 25], ids=["4 jobs", "50 jobs"])
def test_sweep_that_is_killed_ends_with_the_same_results(tmp_path: Path, seeds: int) -> None:
    words = ("-j", "4", "prediction=eps,v", f"train.seed=range(0,{seeds})")
    runs = tmp_path / "runs"
    dice = random.Random(0)

    first = sweep(runs, *words)  # kill -9 of a job in the middle, then of the sweep, whose jobs live on
    wait_for(lambda: list(runs.glob("sweeps/*/jobs/*/checkpoints/last.ckpt")), first)
    for process in processes_of(folder_of(runs))[:1]:
        os.kill(process, signal.SIGKILL)
    time.sleep(dice.uniform(0, 10))
    first.send_signal(signal.SIGKILL)
    first.wait()

    for _ in range(2):  # Ctrl-C at any time
        again = sweep(runs, *words)
        time.sleep(dice.uniform(10, 40))
        again.send_signal(signal.SIGINT)
        text, _ = again.communicate(timeout=300)
        assert again.returncode in (1, 130, -signal.SIGINT) or seeds == 2, text  # four jobs may be through by then

    text = finished(sweep(runs, *words))
    jobs = jobs_of(runs)
    assert len(jobs) == 2 * seeds
    assert text.splitlines()[-1] == f"sweep: {folder_of(runs)}"
    assert {json.loads((job / "status.json").read_text())["state"] for job in jobs} == {"finished"}
    check_nothing_is_mixed(jobs)
    with one_thread():
        for i, job in enumerate(jobs):
            alone = trained_here(job, tmp_path / f"alone{i}")
            for key in ("state_dict", "ema", "optimizer_states", "nimg"):
                assert_equal(contents(Run(job))[key], contents(alone)[key], f"{job.name}/{key}")
            assert [row["nimg"] for row in read_metrics(Run(job))] == [row["nimg"] for row in read_metrics(alone)]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_jobs_of_two_processes_stay_in_their_directories(tmp_path: Path) -> None:
    devices = ("trainer.devices=2", "trainer.strategy=ddp", "logger=none")
    text = finished(sweep(tmp_path, "prediction=eps,v", *devices))
    jobs = jobs_of(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sweeps"]
    assert [job.name for job in jobs] == ["000-prediction=eps", "001-prediction=v"]
    for job in jobs:
        assert (contents(Run(job))["nimg"], contents(Run(job))["global_step"]) == (128, 8)  # 16 images a step in all
        assert (job / "log.txt").read_text().count("GFLOP/image") == 1
        assert f"run: {job}" in (job / "log.txt").read_text()
    assert text.count("finished after") == 2
