"""How a sweep drives its jobs. The jobs are stubs that start at once; test_sweep_runs.py has real ones."""

import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from difflab import assemble
from difflab.cli import main
from difflab.config.compose import compose
from difflab.files import conf_dir
from difflab.sweeps import processes
from tests.wiring.stub_job import STEPS

Capture = pytest.CaptureFixture[str]
STUB = (sys.executable, str(Path(__file__).parent / "stub_job.py"))
SMOKE = ("experiment=smoke", "train.total_nimg=128", "train.batch_size=16", "logger=none", "metrics=none")


@pytest.fixture(autouse=True)
def stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "COMMAND", STUB)
    monkeypatch.setattr("difflab.sweeps.drive.POLL", 0.02)
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("DIFFLAB_RUN", "somebody else's")


def sweep(runs: Path, *words: str) -> int:
    return main(["train", "-m", f"runs={runs}", *SMOKE, *words])


def jobs(runs: Path) -> dict[str, Path]:
    """Folders by their overrides."""
    (folder,) = (runs / "sweeps").iterdir()
    found = json.loads((folder / "sweep.json").read_text())["jobs"]
    return {" ".join(f"{k}={v}" for k, v in job["overrides"].items()): folder / job["folder"] for job in found}


def states(runs: Path) -> list[str]:
    return [json.loads((job / "status.json").read_text())["state"] for job in jobs(runs).values()]


def results(runs: Path) -> list[str]:
    return [json.loads((job / "result.json").read_text())["state"] for job in jobs(runs).values()]


def test_sweep_runs_every_job_in_its_own_folder(tmp_path: Path, capsys: Capture) -> None:
    assert sweep(tmp_path, "-j", "2", "prediction=eps,v", "train.seed=1,2") == 0
    out = capsys.readouterr().out
    (folder,) = (tmp_path / "sweeps").iterdir()
    assert out.splitlines()[-1] == f"sweep: {folder}"
    assert "prediction=v train.seed=2" in out
    written = json.loads((folder / "sweep.json").read_text())
    assert (written["verb"], written["experiment"], written["swept"]) == (
        "train",
        "smoke",
        ["prediction", "train.seed"],
    )
    assert written["jobs"][3] == {
        "number": 3,
        "folder": "jobs/003-prediction=v,train.seed=2",
        "overrides": {"prediction": "v", "train.seed": "2"},
    }
    assert states(tmp_path) == ["finished"] * 4
    assert len(set(results(tmp_path))) == 4
    job = jobs(tmp_path)["prediction=v train.seed=2"]
    log = (job / "log.txt").read_text()
    assert log.startswith(f"environment ['OMP_NUM_THREADS'] {STUB[1]} train config={job / 'job.yaml'}")
    assert f"run_dir: {job}" in (job / "job.yaml").read_text()


def test_same_command_again_retries_what_failed_and_skips_what_is_finished(tmp_path: Path, capsys: Capture) -> None:
    assert sweep(tmp_path, "train.seed=6,7,8") == 1
    out = capsys.readouterr().out
    assert "001 failed after 0 s: train.seed=7: the disk is full: make room" in out
    assert states(tmp_path) == ["finished", "failed", "finished"]
    (jobs(tmp_path)["train.seed=7"] / "mended").touch()
    assert sweep(tmp_path, "train.seed=6,7,8") == 0
    out = capsys.readouterr().out
    assert "000 is finished" in out
    assert out.count("begins") == 1
    assert states(tmp_path) == ["finished"] * 3


def test_impossible_job_is_said_before_anything_runs_and_stops_no_other(tmp_path: Path, capsys: Capture) -> None:
    assert sweep(tmp_path, "grid=uniform_t", "prediction=eps,v") == 1
    out = capsys.readouterr().out
    assert out.index("000 failed: prediction=eps: prediction 'eps' cannot recover x0 at t=1") < out.index("001 begins")
    assert states(tmp_path) == ["failed", "finished"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trian.seed=1,2"], "did you mean 'train.seed'?"),
        (["prediction=epps,vv"], "none of the 2 jobs can be composed"),
        (["prediction=eps", "grid=uniform_t"], "'eps' cannot recover x0"),
        (["train.seed=1,2", "train.batch_size=0"], "train.batch_size=0"),
    ],
)
def test_sweep_without_a_job_that_can_run_is_refused(
    tmp_path: Path, capsys: Capture, words: list[str], says: str
) -> None:
    assert sweep(tmp_path, *words) == 1
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_changed_configuration_is_refused_by_name(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sweep(tmp_path, "prediction=eps,v") == 0
    job = jobs(tmp_path)["prediction=v"]
    text = (job / "job.yaml").read_text()
    (job / "job.yaml").write_text(text.replace("steps: 4", "steps: 5", 1))
    assert sweep(tmp_path, "prediction=eps,v") == 1
    error = capsys.readouterr().err
    assert "grid.steps=5, but grid.steps=4 is composed now" in error
    assert error.count("\n") == 1


def half_way(runs: Path) -> Path:
    """The folder of the job that waits half-way, when it does."""
    while True:
        for path in runs.glob("sweeps/*/jobs/*train.seed=5/metrics.jsonl"):
            if path.read_text().count("\n") == 3:
                return path.parent
        time.sleep(0.01)


def test_job_killed_by_9_fails_and_is_gone_on_with(tmp_path: Path, capsys: Capture) -> None:
    def kill() -> None:
        os.kill(int((half_way(tmp_path) / ".lock").read_text().split()[1]), signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    assert sweep(tmp_path, "train.seed=4,5") == 1
    assert "it was ended by signal 9 (out of memory?)" in capsys.readouterr().out
    (jobs(tmp_path)["train.seed=5"] / "go").touch()
    assert sweep(tmp_path, "train.seed=4,5") == 0
    assert f"resume={jobs(tmp_path)['train.seed=5']}" in (jobs(tmp_path)["train.seed=5"] / "log.txt").read_text()


PROGRAM = """
import sys
from difflab import assemble
from difflab.cli import main
from difflab.config.compose import compose
from difflab.sweeps import processes
processes.COMMAND = {stub!r}
sys.exit(main(sys.argv[1:]))
"""


def in_a_process(runs: Path, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PROGRAM.format(stub=STUB), "train", "-m", f"runs={runs}", *SMOKE, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_sweep_killed_by_9_and_stopped_gently_ends_with_the_same_results(tmp_path: Path, capsys: Capture) -> None:
    """The job of a killed sweep lives on: the next sweep waits for it, and hands a SIGTERM on to it."""
    words = ("train.seed=4,5,6",)
    first = in_a_process(tmp_path, *words)
    job = half_way(tmp_path)
    first.kill()
    first.wait()
    assert states(tmp_path) == ["finished", "running", "waiting"]

    second = in_a_process(tmp_path, *words)
    assert second.stdout is not None
    while "001 begins" not in second.stdout.readline():
        pass
    assert sweep(tmp_path, *words) == 75
    assert f"is a sweep that is run by process {second.pid} on " in capsys.readouterr().err
    second.terminate()
    _, error = second.communicate(timeout=60)
    assert error.splitlines()[-1].startswith("difflab: stopped: every job has kept its last step")
    assert second.returncode == 1
    assert states(tmp_path) == ["finished", "stopped", "waiting"]

    (job / "go").touch()
    assert sweep(tmp_path, *words) == 0
    assert states(tmp_path) == ["finished"] * 3
    log = (job / "log.txt").read_text()
    assert (log.count("environment"), log.count("resume=")) == (2, 1)
    rows = [json.loads(line)["nimg"] for line in (job / "metrics.jsonl").read_text().splitlines()]
    assert rows == list(range(16, 144, 16)), "one process after the other, none twice"
    state = (job / "job.yaml").read_text()
    for _ in range(STEPS):
        state = hashlib.sha256(state.encode()).hexdigest()
    assert results(tmp_path)[1] == state


TRAINED = sorted(p.stem for p in (conf_dir() / "sweep").glob("*.yaml") if "\nverb: train\n" in p.read_text())


@pytest.mark.parametrize("name", TRAINED)
def test_named_sweep_asks_a_question_and_its_last_job_composes(name: str, tmp_path: Path, capsys: Capture) -> None:
    assert (conf_dir() / "sweep" / f"{name}.yaml").read_text().startswith("# ")
    assert sweep(tmp_path, f"sweep={name}", "--cfg") == 0
    settings, _, words = capsys.readouterr().out.rpartition("# ")
    assert re.search(r"question: .*\?$", settings, re.MULTILINE)
    cfg = compose("train", shlex.split(words.splitlines()[-1]))
    assemble.check(assemble.denoiser(cfg), assemble.objective(cfg))


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_every_job_of_a_named_sweep_composes(name: str, tmp_path: Path) -> None:
    assert sweep(tmp_path, "-j", "8", f"sweep={name}") == 0
    assert set(states(tmp_path)) == {"finished"}
    (folder,) = (tmp_path / "sweeps").iterdir()
    assert folder.name.startswith(f"{name}-smoke-")
