"""Optuna's search over stub jobs: it goes on where it was, gives up what is hopeless, and says what is best."""

import json
import sys
from pathlib import Path

import pytest

from difflab.cli import main
from difflab.sweeps import processes
from tests.wiring.test_sweeps import STUB, jobs, states

pytest.importorskip("optuna")
Capture = pytest.CaptureFixture[str]
RATE = "optim.lr=tag(log,interval(1e-4,1e-2))"
SMOKE = ("experiment=smoke", "train.total_nimg=128", "train.batch_size=16", "logger=none")


@pytest.fixture(autouse=True)
def stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "COMMAND", STUB)
    monkeypatch.setattr("difflab.sweeps.drive.POLL", 0.02)


def search(runs: Path, trials: int, *words: str) -> int:
    return main(["train", "-m", "search=optuna", f"search.trials={trials}", f"runs={runs}", *SMOKE, *words])


@pytest.mark.slow
def test_search_goes_on_to_the_number_that_is_asked_for_with_the_same_trials(tmp_path: Path, capsys: Capture) -> None:
    assert search(tmp_path / "cut", 1, RATE) == 0
    assert search(tmp_path / "cut", 3, RATE) == 0
    out = capsys.readouterr().out
    assert out.count("begins") == 3
    assert search(tmp_path / "whole", 3, RATE) == 0
    assert list(jobs(tmp_path / "cut")) == list(jobs(tmp_path / "whole"))
    rates = [float(name.removeprefix("optim.lr=")) for name in jobs(tmp_path / "cut")]
    assert len(set(rates)) == 3
    assert all(1e-4 <= rate <= 1e-2 for rate in rates)
    best = min(
        jobs(tmp_path / "cut").values(),
        key=lambda p: json.loads((p / "result.json").read_text())["figures"][0]["value"],
    )
    assert f"best: {best.name[:3]}, fd " in out
    rate = best.name.partition("optim.lr=")[2]
    assert f"to train it: difflab train runs={tmp_path / 'cut'} experiment=smoke" in out
    assert f" optim.lr={rate}\n" in out


def test_hopeless_trial_is_pruned(tmp_path: Path, capsys: Capture) -> None:
    """The stub of train.seed=9 would wait for ever."""
    assert search(tmp_path, 4, "train.seed=9,8", "search.startup_trials=1", "search.seed=1") == 0
    ended = dict(zip(states(tmp_path), jobs(tmp_path), strict=True))
    assert set(states(tmp_path)) == {"finished", "pruned"}
    assert ended["finished"] == "train.seed=8"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["prediction=v"], "search=optuna has nothing to search"),
        ([RATE, "search.figure=fdd"], "search.figure=fdd: it is one of fd,"),
        ([RATE, "metrics=none"], "with metrics=none runs have no figures"),
        (["optim.lr=interval(1,0.1)"], "optim.lr=interval(1,0.1)"),
        (["train.batch_size=interval(8,64)"], "train.batch_size=8.0"),
        ([RATE, "trian.seed=1"], "did you mean 'train.seed'?"),
    ],
)
def test_search_that_makes_no_sense_is_refused(tmp_path: Path, capsys: Capture, words: list[str], says: str) -> None:
    assert search(tmp_path, 2, *words) == 1
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_without_optuna_the_way_out_is_named(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert search(tmp_path, 2, RATE) == 1
    assert "pip install 'difflab[search]'" in capsys.readouterr().err
