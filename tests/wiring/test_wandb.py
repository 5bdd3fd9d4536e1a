"""An offline W&B run holds everything, and needs neither account nor network nor answer."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from difflab.cli import main
from difflab.runs import Run
from tests.conftest import train


def records(run: Run) -> list[dict[str, Any]]:
    """Every record of every offline session of the run, as wandb's own reader gives them."""
    out = []
    wandb = Path(sys.executable).parent / "wandb"
    for folder in sorted((run.path / "wandb").glob("offline-run-*")):
        command = [wandb, "leet", "inspect", "--json", str(next(folder.glob("*.wandb")))]
        text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        out += [json.loads(line) for line in text.splitlines()]
    return out


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tmp_path_factory.mktemp("runs"), "train.total_nimg=1024")


def test_offline_run_holds_config_curves_samples_and_figures(tracked: Run) -> None:
    text = json.dumps(records(tracked))
    for wanted in (
        "sigma_data",
        "difflab.schedules.Cosine",
        "x0_mse/logsnr=",
        "speed/img_per_s",
        "figures/fd_efficientnet_lite0/n=64",
    ):
        assert wanted in text, wanted
    assert "samples/grid" in text
    assert "samples/reverse" in text
    media = {p.suffix for p in (tracked.path / "wandb").rglob("media/**/*") if p.is_file()}
    assert media == {".png", ".gif"}


def test_protocols_stand_beside_the_settings_of_figures(tracked: Run) -> None:
    config: dict[str, Any] = {}
    for record in records(tracked):
        for part in (record, record.get("run", {})):  # the first settings come with the run
            config |= part.get("config", {}).get("update", {})
    assert config["protocols"]["figures/fd_efficientnet_lite0/n=64"]["nfe"] == 4
    assert config["figures"]["kid"]["subsets"] == tracked.read_config().figures.kid.subsets


def test_history_is_over_images_seen(tracked: Run) -> None:
    history = [r for r in records(tracked) if "loss" in json.dumps(r) and "history" in json.dumps(r).lower()]
    assert history
    assert all("nimg" in json.dumps(r) for r in history)


def test_nothing_is_written_outside_the_run(tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    hidden = ("WANDB", "XDG", "DIFFLAB", "HOME")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(hidden)} | {"HOME": str(home)}
    command = [sys.executable, "-m", "difflab.cli", "train", "experiment=smoke", "train.total_nimg=64", "metrics=none"]
    subprocess.run(command, cwd=work, env=environment, check=True, capture_output=True, timeout=120)
    assert [p.name for p in work.iterdir()] == ["runs"]
    assert [p for p in home.rglob("*") if p.is_file() and "wandb" in str(p)] == []


def test_one_process_two_runs_two_ids_and_resume_keeps_its_own(tracked: Run, tmp_path: Path) -> None:
    other = train(tmp_path, "train.total_nimg=128", "metrics=none")
    ids = {r.read_config().logger.run_id for r in (tracked, other)}
    assert len(ids) == 2
    assert main(["train", f"resume={other.path}", "train.total_nimg=256"]) == 0
    sessions = [p.name for p in (other.path / "wandb").glob("offline-run-*")]
    assert len(sessions) == 2
    assert all(other.read_config().logger.run_id in name for name in sessions)
