"""Jobs through submitit, by its local executor."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from difflab.cli import main
from difflab.sweeps import processes
from tests.wiring.test_sweeps import SMOKE, STUB, jobs, states

pytest.importorskip("submitit")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "COMMAND", STUB)
    monkeypatch.setattr("difflab.sweeps.slurm.COMMAND", STUB)


def sweep(runs: Path, *words: str) -> int:
    sizes = ("launcher.cpus=1", "launcher.gpus=0", "launcher.mem_gb=1", "launcher.timeout_min=5")
    return main(["train", "-m", "launcher=slurm", *sizes, f"runs={runs}", *SMOKE, *words])


def test_jobs_are_submitted_and_their_results_are_in_the_same_folders(tmp_path: Path, capsys: Capture) -> None:
    assert sweep(tmp_path, "launcher.cluster=local", "train.seed=6,7") == 1
    assert "001 failed" in (out := capsys.readouterr().out)
    assert "the disk is full: make room" in out
    assert states(tmp_path) == ["finished", "failed"]
    for job in jobs(tmp_path).values():
        assert "['OMP_NUM_THREADS']" in (job / "log.txt").read_text()
        assert json.loads((job / "submitted.json").read_text())["cluster"] == "local"
    (jobs(tmp_path)["train.seed=7"] / "mended").touch()
    assert sweep(tmp_path, "train.seed=6,7") == 1  # there is no cluster here
    assert main(["train", "-m", "-j", "2", f"runs={tmp_path}", *SMOKE, "train.seed=6,7"]) == 0  # the same sweep, here
    assert states(tmp_path) == ["finished", "finished"]


@pytest.mark.skipif(shutil.which("srun") is not None, reason="there is a cluster here")
def test_no_cluster_is_said_before_anything_is_made(tmp_path: Path, capsys: Capture) -> None:
    assert sweep(tmp_path, "train.seed=1,2") == 1
    error = capsys.readouterr().err
    assert "there is no srun here" in error
    assert "launcher.cluster=local" in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_without_submitit_the_way_out_is_named(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert sweep(tmp_path, "train.seed=1,2") == 1
    assert "pip install 'difflab[slurm]'" in capsys.readouterr().err
