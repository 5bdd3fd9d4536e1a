"""The run directory keeps its contract."""

import csv
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from difflab.cli import main
from difflab.runs.directory import Run, read_metrics
from tests.conftest import train


def test_run_directory_is_what_the_contract_says(smoke: Run) -> None:
    names = {str(p.relative_to(smoke.path)) for p in smoke.path.rglob("*") if p.is_file()}
    assert names >= {"config.yaml", "metrics.jsonl", "checkpoints/last.ckpt", "samples/reverse.gif", "result.json"}
    assert {"samples/nimg=000001024.png", "samples/nimg=000002048.png"} <= names
    assert Image.open(smoke.samples / "nimg=000002048.png").size == (4 * 16 * 2, 4 * 16 * 2)


def test_result_has_figures_with_their_protocol(smoke: Run) -> None:
    result = json.loads(smoke.result.read_text())
    fd, kid = result["figures"][:2]
    assert (fd["name"], kid["name"]) == ("fd_efficientnet_lite0", "kid_efficientnet_lite0")
    protocol = fd["protocol"]
    assert (protocol["n"], protocol["reference"], protocol["reference_n"]) == (64, "fashion_mini/train", 256)
    assert protocol["nfe"] == 4
    assert len(protocol["weights_sha256"]) == 64
    assert result["nimg"] == 2048
    assert result["wall_s"] > 0
    assert result["img_per_s"] > 0
    assert result["packages"]["torch"] == torch.__version__.partition("+")[0]


def test_metrics_are_rows_over_images(smoke: Run) -> None:
    rows = read_metrics(smoke)
    assert all({"nimg", "wall_s"} <= row.keys() for row in rows)
    losses = [row["train/loss"] for row in rows if "train/loss" in row]
    assert len(losses) == 8
    assert losses[-1] < losses[0]
    assert any(key.startswith("x0_mse/logsnr=") for row in rows for key in row)
    assert [row["nimg"] for row in rows if "proxy/fd_efficientnet_lite0/n=32/nfe=2" in row] == [1024]
    assert [row["nimg"] for row in rows if "figures/fd_efficientnet_lite0/n=64" in row] == [2048]
    assert any("speed/img_per_s" in row for row in rows)


def test_last_line_names_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(tmp_path, "logger=none", "metrics=none", "train.total_nimg=128")
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == f"run: {run.path}"
    assert "GFLOP/image" in out[0]


def test_same_seed_same_run_and_seed_zero_is_a_seed(tmp_path: Path) -> None:
    def weights(*overrides: str) -> dict[str, torch.Tensor]:
        run = train(tmp_path, "logger=none", "metrics=none", "train.total_nimg=256", *overrides)
        return torch.load(run.checkpoint, weights_only=True)["state_dict"]

    first, again, other = weights("train.seed=0"), weights("train.seed=0"), weights("train.seed=1")
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


def test_accumulation_sees_the_same_images_a_step(tmp_path: Path) -> None:
    """Half batches twice: as many optimiser steps and averages as whole batches."""
    run = train(tmp_path, "logger=none", "metrics=none", "train.total_nimg=256", "train.accumulate=2")
    checkpoint = torch.load(run.checkpoint, weights_only=True)
    assert (checkpoint["global_step"], checkpoint["nimg"]) == (4, 256)


def test_coupling_that_mixes_classes_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ("coupling=minibatch_ot", "logger=none", "metrics=none", "train.total_nimg=64")
    train(tmp_path, *few)
    assert capsys.readouterr().out.count("warning: this coupling lets the 10 classes of fashion_mini compete") == 1
    train(tmp_path, *few, "data.classes=[]")
    assert "warning" not in capsys.readouterr().out


def test_minutes_become_images(tmp_path: Path) -> None:
    run = train(tmp_path, "logger=none", "metrics=none", "train.minutes=0.02", "callbacks.samples.every_nimg=null")
    cfg = run.read_config()
    assert cfg.train.minutes is None
    assert cfg.train.total_nimg % cfg.train.batch_size == 0
    assert json.loads(run.result.read_text())["nimg"] == cfg.train.total_nimg


def test_tensorboard_writes_into_the_run(tmp_path: Path) -> None:
    run = train(tmp_path, "logger=tensorboard", "metrics=none", "train.total_nimg=256")
    assert list((run.path / "tensorboard").glob("events.*"))


@pytest.mark.slow
def test_csv_is_the_table_of_all_sessions(tmp_path: Path) -> None:
    run = train(tmp_path, "logger=csv", "metrics=none", "train.total_nimg=256")
    assert main(["train", f"resume={run.path}", "train.total_nimg=512"]) == 0
    with (run.path / "metrics.csv").open() as file:
        table = list(csv.DictReader(file))
    losses = [str(row["train/loss"]) for row in read_metrics(run) if "train/loss" in row]
    assert [row["train/loss"] for row in table if row["train/loss"]] == losses
    assert {row["nimg"] for row in table} == {"256", "512"}


def test_batch_that_does_not_divide_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "experiment=smoke", f"runs={tmp_path}", "train.accumulate=7", "logger=none"]) == 1
    assert "train.batch_size=64 does not divide" in capsys.readouterr().err
