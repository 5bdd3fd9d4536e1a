"""A run in a named directory, from a resolved configuration, with one process at a time."""

import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from difflab.cli import main
from difflab.errors import BusyError
from difflab.runs.directory import Run
from difflab.runs.locks import held, is_held
from tests.conftest import train
from tests.wiring.test_resume import assert_equal, contents

Capture = pytest.CaptureFixture[str]
SHORT = ("metrics=none", "train.total_nimg=128", "callbacks.samples.n=4")


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tmp_path_factory.mktemp("runs"), *SHORT)


def test_configuration_file_is_trained_as_it_is(tracked: Run, tmp_path: Path, capsys: Capture) -> None:
    run = Run(tmp_path / "again")
    assert main(["train", f"config={tracked.config}", f"run_dir={run.path}"]) == 0
    assert capsys.readouterr().out.endswith(f"run: {run.path}\n")
    for key in ("state_dict", "ema", "optimizer_states", "nimg"):
        assert_equal(contents(run)[key], contents(tracked)[key], key)
    assert run.read_config().logger.run_id != tracked.read_config().logger.run_id


def test_run_that_was_cut_off_before_its_first_checkpoint_begins_anew(tracked: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "cut")
    (run.path / "checkpoints").mkdir(parents=True)
    (run.path / "samples").mkdir()
    cfg = tracked.read_config()
    cfg.logger.run_id = "itsownid"
    run.write_config(cfg)
    run.metrics.write_text('{"nimg": 64, "wall_s": 1.0, "train/loss": 7.0}\n')
    (run.path / "checkpoints" / "snapshot-nimg=000000001.ckpt").touch()
    assert main(["train", f"config={tracked.config}", f"run_dir={run.path}", "train.total_nimg=64"]) == 0
    assert run.read_config().logger.run_id == "itsownid"
    assert "7.0" not in run.metrics.read_text()
    assert not (run.path / "checkpoints" / "snapshot-nimg=000000001.ckpt").exists()
    assert contents(run)["nimg"] == 64


def test_run_dir_that_holds_a_run_is_left_alone(tracked: Run, capsys: Capture) -> None:
    before = tracked.checkpoint.read_bytes()
    assert main(["train", "experiment=smoke", f"run_dir={tracked.path}", "logger=none"]) == BusyError.CODE
    error = capsys.readouterr().err
    assert f"go on with resume={tracked.path}" in error
    assert error.count("\n") == 1
    assert tracked.checkpoint.read_bytes() == before


@pytest.mark.parametrize("whole", ["model.safetensors", "result.json"])
def test_run_dir_that_holds_an_exported_or_a_finished_run_is_left_alone(
    tracked: Run, tmp_path: Path, whole: str, capsys: Capture
) -> None:
    run = Run(tmp_path / "given")
    run.write_config(tracked.read_config())
    run.metrics.write_text('{"nimg": 64, "wall_s": 1.0}\n')
    (run.path / whole).touch()
    assert main(["train", f"config={tracked.config}", f"run_dir={run.path}"]) == BusyError.CODE
    assert f"holds the {whole} of another run: name another folder" in capsys.readouterr().err
    assert run.metrics.read_text() == '{"nimg": 64, "wall_s": 1.0}\n'


def test_second_process_on_a_run_is_refused_by_name(tracked: Run, capsys: Capture) -> None:
    before = {p: p.read_bytes() for p in tracked.path.rglob("*") if p.is_file() and p.name != ".lock"}
    with held(tracked.path, "is trained"):
        assert is_held(tracked.path)
        assert main(["train", f"resume={tracked.path}", "train.total_nimg=256"]) == BusyError.CODE
        error = capsys.readouterr().err
        assert f"{tracked.path} is trained by process {os.getpid()} on " in error
        assert error.count("\n") == 1
    assert not is_held(tracked.path)
    assert {p: p.read_bytes() for p in before} == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["schedule=ve"], "goes on with the schedule it began with"),
        (["train.total_nimgs=9"], "did you mean 'train.total_nimg'?"),
        (["train.seed=abc"], "a whole number"),
        (["train.total_nimg=64", "train.minutes=3.0"], "two budgets"),
    ],
)
def test_only_values_of_a_configuration_file_are_overridden(
    tracked: Run, words: list[str], says: str, capsys: Capture
) -> None:
    assert main(["train", f"config={tracked.config}", *words]) == 1
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("text", [None, "", "a: [1", "train: {seed: 0}", "- 1"])
def test_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str | None, capsys: Capture) -> None:
    path = tmp_path / "some.yaml"
    if text is not None:
        path.write_text(text)
    assert main(["train", f"config={path}"]) == 1
    error = capsys.readouterr().err
    assert f"config={path} is not a" in error
    assert error.count("\n") == 1


def test_run_goes_on_in_its_own_directory(tracked: Run, tmp_path: Path, capsys: Capture) -> None:
    assert main(["train", f"resume={tracked.path}", f"run_dir={tmp_path}"]) == 1
    assert "goes on in its own directory" in capsys.readouterr().err


def test_paths_of_jobs_need_no_quotes(tracked: Run, tmp_path: Path) -> None:
    folder = tmp_path / "000-schedule=cosine,prediction=eps"
    folder.mkdir()
    OmegaConf.save(tracked.read_config(), folder / "job.yaml")
    assert main(["train", "--cfg", f"config={folder / 'job.yaml'}"]) == 0
