"""difflab compare says what differs between runs, in any terminal, and writes nothing."""

import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from difflab.cli import main
from difflab.runs.directory import Run
from tests.conftest import train


@pytest.fixture(scope="module")
def slower(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that differs in its learning rate and its length, and has no figures."""
    runs = tmp_path_factory.mktemp("slower")
    return train(runs, "logger=none", "metrics=none", "optim.lr=0.0005", "train.total_nimg=1024")


def compared(capsys: pytest.CaptureFixture[str], *runs: Path) -> str:
    capsys.readouterr()
    assert main(["compare", *map(str, runs)]) == 0
    return capsys.readouterr().out


def cells(text: str, name: str) -> list[str]:
    """The cells of the line that begins with `name`."""
    (line,) = (line for line in text.splitlines() if line.startswith(f"│ {name} "))
    return [cell.strip() for cell in line.strip("│").split("│")][1:]


def edited(run: Run, path: Path, **changes: object) -> Run:
    """A copy whose result.json says other things."""
    shutil.copytree(run.path, path)
    result = json.loads((path / "result.json").read_text())
    (path / "result.json").write_text(json.dumps(result | changes))
    return Run(path)


def test_what_differs_is_shown_and_nothing_else(smoke: Run, slower: Run, capsys: pytest.CaptureFixture[str]) -> None:
    text = compared(capsys, smoke.path, slower.path)
    assert f"A: {smoke.path} (smoke, 2,048 images, finished)" in text
    assert cells(text, "optim.lr") == ["0.001", "0.0005"]
    assert cells(text, "train.total_nimg") == ["2048", "1024"]
    assert "code: the same code and packages" in text
    assert cells(text, "images seen") == ["2,048", "1,024"]
    assert not any(word in text for word in ("train.seed", "optim.warmup", "runs ", "schedule"))


def test_error_by_noise_level_is_compared_at_the_same_images(
    smoke: Run, slower: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    text = compared(capsys, smoke.path, slower.path)
    rows = [json.loads(line) for line in smoke.metrics.read_text().splitlines()]
    (there,) = (row["x0_mse/logsnr=-2..+0"] for row in rows if row["nimg"] == 1024 and "train/loss" in row)
    here, other = cells(text, "x0_mse/logsnr=-2..+0 at 1,024")
    assert here == f"{there:.4g}"
    assert other.endswith(" %)")
    assert float(other.split()[0]) > there


def test_options_of_a_group_are_a_line(smoke: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = edited(smoke, tmp_path / "other")
    cfg = other.read_config()
    cfg.schedule = {"_target_": "difflab.schedules.Rectified"}
    other.write_config(cfg)
    text = compared(capsys, smoke.path, other.path)
    assert cells(text, "schedule")[1] == "Rectified()"
    assert cells(text, "schedule")[0].startswith("Cosine(")
    assert "schedule." not in text


def test_figures_are_apart_in_standard_errors(smoke: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = json.loads(smoke.result.read_text())["figures"]
    fd, kid = ({**figure, "error": 3.0, "value": 100.0} for figure in figures[:2])
    first = edited(smoke, tmp_path / "first", figures=[fd, kid])
    kid_of_fewer = {**kid, "protocol": {**kid["protocol"], "reference_n": 7}}
    second = edited(smoke, tmp_path / "second", figures=[{**fd, "value": 110.0, "error": 4.0}, kid_of_fewer])
    text = compared(capsys, first.path, second.path)
    assert cells(text, fd["name"]) == ["100 ± 3", "110 ± 4"]
    assert "+10 (+2.0 se)" in text
    assert "not comparable" in text
    assert f"{kid['name']} of B and A do not compare: reference_n 256 / 7" not in text
    assert f"{kid['name']} of B and A do not compare: reference_n 7 / 256" in text


def test_other_code_is_shown(smoke: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packages = json.loads(smoke.result.read_text())["packages"]
    commit = "0123456789abcdef0123456789abcdef01234567-dirty"
    other = edited(smoke, tmp_path / "other", git=commit, packages=packages | {"torch": "1.0"})
    text = compared(capsys, smoke.path, other.path)
    assert cells(text, "git")[1] == "0123456789-dirty"
    assert cells(text, "torch") == [packages["torch"], "1.0"]
    assert "│ numpy" not in text


def test_run_that_trains_still_is_compared_as_far_as_it_is(
    smoke: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    young = Run(shutil.copytree(smoke.path, tmp_path / "young"))
    young.result.unlink()
    young.metrics.write_text("".join(smoke.metrics.read_text().splitlines(keepends=True)[:4]))
    text = compared(capsys, smoke.path, young.path)
    assert "B: " in text
    assert "not finished" in text
    assert cells(text, "git") != []


def test_jobs_that_evaluate_are_compared_by_what_their_sweep_gave_them(
    smoke: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [{"number": n, "folder": f"jobs/00{n}-nfe={4 + n}", "overrides": {"nfe": 4 + n}} for n in range(2)]
    (tmp_path / "sweep.json").write_text(json.dumps({"jobs": jobs}))
    for job in jobs:
        (tmp_path / str(job["folder"])).mkdir(parents=True)
        shutil.copy(smoke.result, tmp_path / str(job["folder"]))
    text = compared(capsys, *sorted((tmp_path / "jobs").iterdir()))
    assert f"A: {tmp_path}/jobs/000-nfe=4 (evaluated, finished)" in text
    assert cells(text, "nfe") == ["4", "5"]
    assert "+0 (+0.0 se)" in text


@pytest.mark.parametrize("width", [80, 150])
def test_more_runs_than_fit_are_in_further_tables(
    smoke: Run, tmp_path: Path, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("difflab.comparing.tables.console", lambda: Console(highlight=False, width=width))
    names = [smoke.path, *(edited(smoke, tmp_path / str(i)).path for i in range(4))]
    text = compared(capsys, *names)
    assert max(len(line) for line in text.splitlines() if line[:1] in "│┃┏└") <= width
    assert text.count("fd_efficientnet_lite0") == (3 if width == 80 else 1)
    assert "settings: the same settings" in text


def test_it_writes_nothing(smoke: Run, slower: Run, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in smoke.path.rglob("*")}
    compared(capsys, smoke.path, slower.path)
    assert {path: path.stat().st_mtime_ns for path in smoke.path.rglob("*")} == before


def test_what_can_not_be_compared_is_an_error_of_one_line(
    smoke: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, message in {
        (): "two to 26 runs, here are 0",
        (smoke.path,): "two to 26 runs, here are 1: write `difflab compare RUN_A RUN_B`",
        (smoke.path, smoke.path): "one run is named twice",
        (smoke.path, tmp_path / "none"): "there is no such run",
        (smoke.path, tmp_path): "is not a run: it has no config.yaml",
    }.items():
        assert main(["compare", *map(str, words)]) == 1
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
