"""train(2N) == train(N) + resume(N), bit for bit, and what can't be resumed says why."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from difflab.callbacks.checkpoint import LastCheckpoint
from difflab.cli import main
from difflab.files import read_json
from difflab.runs.directory import Run, read_metrics
from difflab.training import trainer
from tests.conftest import train

SHORT = ("logger=none", "metrics=none", "train.total_nimg=512", "net.dropout=0.1")


def contents(run: Run) -> dict[str, Any]:
    return torch.load(run.checkpoint, weights_only=True)


def assert_equal(a: Any, b: Any, where: str = "") -> None:
    """Equal to the bit, through all nesting."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_equal(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal(x, y, f"{where}/{i}")
    else:
        assert a == b, where


def rows(run: Run) -> list[dict[str, Any]]:
    """What was measured, without the clock."""
    clock = {"wall_s", "speed/img_per_s", "speed/gflop_per_s"}
    return [{k: v for k, v in row.items() if k not in clock} for row in read_metrics(run)]


def killed_after(nimg: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run dies a batch after it has seen `nimg` images."""
    on_train_batch_end = LastCheckpoint.on_train_batch_end

    def die(self: LastCheckpoint, trainer: Any, pl_module: Any, *rest: Any) -> None:
        on_train_batch_end(self, trainer, pl_module, *rest)
        if pl_module.nimg > nimg:
            raise RuntimeError("killed")

    monkeypatch.setattr(LastCheckpoint, "on_train_batch_end", die)


@pytest.mark.parametrize("accumulate", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_resumed_run_is_the_same_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulate: int) -> None:
    """96 images fall between the two halves of an accumulated step: the checkpoint waits for its end."""
    overrides = (*SHORT, f"train.accumulate={accumulate}", "callbacks.checkpoint.every_nimg=96")
    whole = train(tmp_path / "whole", *overrides)
    with monkeypatch.context() as patch:
        killed_after(256, patch)
        with pytest.raises(RuntimeError, match="killed"):
            train(tmp_path / "cut", *overrides, "--debug")
    (cut,) = (Run(p) for p in (tmp_path / "cut").glob("*/*"))
    assert contents(cut)["nimg"] % 64 == 0
    assert 128 < contents(cut)["nimg"] <= 320
    assert main(["train", f"resume={cut.path}"]) == 0
    ours, theirs = contents(cut), contents(whole)
    for key in ("state_dict", "ema", "optimizer_states", "nimg", "global_step"):
        assert_equal(ours[key], theirs[key], key)
    assert rows(cut) == rows(whole)
    last = sorted(p.name for p in whole.samples.glob("nimg=*.png"))[-1]
    assert (cut.samples / last).read_bytes() == (whole.samples / last).read_bytes()


def test_everything_that_learns_is_resumed_to_the_bit(tmp_path: Path) -> None:
    """A trained weighting, a density with a history of losses, a learned variance, and labels that are dropped."""
    learning = (
        "condition=label", "condition.dropout=0.3",
        "times=loss_aware", "times.levels=8", "times.history=2", "weighting=learned_uncertainty", "objective=hybrid",
        "net.learn_variance=true", "coupling=minibatch_ot", "sampler=ddpm_learned", "optim.decay=constant", *SHORT[:2],
    )  # fmt: skip
    whole = train(tmp_path / "whole", *learning, "train.total_nimg=256")
    cut = train(tmp_path / "cut", *learning, "train.total_nimg=128")
    history = contents(cut)["state_dict"]["objective.times.losses"]
    assert (history > 0).all()
    assert main(["train", f"resume={cut.path}", "train.total_nimg=256"]) == 0
    ours, theirs = contents(cut), contents(whole)
    for key in ("state_dict", "ema", "optimizer_states"):
        assert_equal(ours[key], theirs[key], key)
    assert not torch.equal(ours["state_dict"]["objective.times.losses"], history)
    assert ours["state_dict"]["objective.weighting.out.weight"].abs().max() > 0


@pytest.mark.slow
def test_resume_with_another_batch_size_trains_the_rest(tmp_path: Path) -> None:
    run = train(tmp_path, *SHORT[:2], "train.total_nimg=256")
    assert main(["train", f"resume={run.path}", "train.batch_size=32", "train.total_nimg=512"]) == 0
    assert (contents(run)["nimg"], contents(run)["global_step"]) == (512, 4 + 8)


def test_minutes_of_a_resumed_run_are_minutes_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a run that has seen all it was to see."""
    run = train(tmp_path, *SHORT[:2], "train.total_nimg=256")
    monkeypatch.setattr(trainer, "images_in", lambda minutes, *_: int(minutes * 64))
    assert main(["train", f"resume={run.path}", "train.minutes=2.0"]) == 0
    cfg = run.read_config()
    assert (contents(run)["nimg"], cfg.train.total_nimg, cfg.train.minutes) == (256 + 128, 256 + 128, None)


def test_a_resumed_run_has_one_budget(smoke: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", f"resume={smoke.path}", "train.minutes=1.0", "train.total_nimg=4096"]) == 1
    assert "train.total_nimg=4096 and train.minutes=1.0 are two budgets" in capsys.readouterr().err


def test_refused_resume_leaves_the_run_alone(tmp_path: Path) -> None:
    run = train(tmp_path, *SHORT[:2], "train.total_nimg=128")
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    assert main(["train", f"resume={run.path}", "train.total_nimg=256", "trainer.precision=foo"]) == 1
    assert {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()} == before


@pytest.mark.slow
def test_sigterm_keeps_the_last_step(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "difflab.cli", "train", "experiment=smoke", f"runs={tmp_path}", *SHORT[:2]]
    command += [
        "train.total_nimg=1000000",
        "callbacks.checkpoint.every_nimg=null",
        "callbacks.noise_loss.every_nimg=64",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("*/*/metrics.jsonl")) and process.poll() is None:
        time.sleep(0.05)
    process.terminate()
    _, error = process.communicate(timeout=60)
    (run,) = (Run(p) for p in tmp_path.glob("*/*"))
    assert process.returncode != 0
    assert f"resume={run.path}" in error
    assert contents(run)["nimg"] >= max(row["nimg"] for row in read_metrics(run))


@pytest.mark.slow
def test_run_survives_kill_9(tmp_path: Path) -> None:
    overrides = [*SHORT[:2], "train.total_nimg=8192", "callbacks.checkpoint.every_nimg=512"]
    whole = train(tmp_path / "whole", *overrides)
    command = [sys.executable, "-m", "difflab.cli", "train", "experiment=smoke", f"runs={tmp_path / 'cut'}", *overrides]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not list((tmp_path / "cut").glob("*/*/checkpoints/last.ckpt")) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (cut,) = (Run(p) for p in (tmp_path / "cut").glob("*/*"))
    assert contents(cut)["nimg"] < 8192
    assert main(["train", f"resume={cut.path}"]) == 0
    assert_equal(contents(cut)["state_dict"], contents(whole)["state_dict"])
    assert_equal(contents(cut)["ema"], contents(whole)["ema"])


def test_finished_run_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(tmp_path, *SHORT[:2], "train.total_nimg=128")
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    assert main(["train", f"resume={run.path}"]) == 0
    assert capsys.readouterr().out.endswith(f"run: {run.path}\n")
    assert {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()} == before


def test_run_killed_before_its_figures_gets_them(tmp_path: Path) -> None:
    run = train(tmp_path, *SHORT[:2], "train.total_nimg=128")
    weights = contents(run)["state_dict"]
    run.result.unlink()
    assert main(["train", f"resume={run.path}"]) == 0
    assert run.result.is_file()
    assert_equal(contents(run)["state_dict"], weights)


def test_extended_run_killed_before_its_figures_gets_them(tmp_path: Path) -> None:
    """The result of the shorter run is still there, and is not that of the longer one."""
    run = train(tmp_path, *SHORT[:2], "train.total_nimg=128")
    before = run.result.read_bytes()
    assert main(["train", f"resume={run.path}", "train.total_nimg=256"]) == 0
    run.result.write_bytes(before)
    assert main(["train", f"resume={run.path}"]) == 0
    assert read_json(run.result)["nimg"] == 256


def test_another_architecture_is_refused_by_name(smoke: Run, capsys: pytest.CaptureFixture[str]) -> None:
    before = smoke.checkpoint.read_bytes()
    assert main(["train", f"resume={smoke.path}", "net.width=32"]) == 1
    error = capsys.readouterr().err
    assert "has another network than the configuration" in error
    assert error.count("\n") == 1
    assert main(["train", f"resume={smoke.path}", "net=unet_small"]) == 1
    assert "goes on with the net it began with" in capsys.readouterr().err
    assert smoke.checkpoint.read_bytes() == before


def test_truncated_checkpoint_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(tmp_path, *SHORT[:2], "train.total_nimg=128")
    whole = run.checkpoint.read_bytes()
    run.checkpoint.write_bytes(whole[: len(whole) // 2])
    for command in (["train", f"resume={run.path}"], ["sample", f"from={run.path}", "n=1"]):
        assert main(command) == 1
        error = capsys.readouterr().err
        assert "is not a whole checkpoint" in error
        assert error.count("\n") == 1


def test_misspelt_override_of_a_resumed_run(smoke: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", f"resume={smoke.path}", "train.total_nimgs=9"]) == 1
    assert "did you mean 'train.total_nimg'?" in capsys.readouterr().err
