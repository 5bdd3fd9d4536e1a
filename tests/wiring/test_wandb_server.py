"""Online: what a server gets, and that one which is gone costs a line and nothing else."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import wandb
from omegaconf import OmegaConf
from safetensors.torch import load
from wandb.sdk.lib.module import unset_globals
from wandb.sdk.lib.wbauth import unauthenticate_session

from difflab.callbacks.noise_loss import NoiseLoss
from difflab.errors import DifflabError
from difflab.runs.directory import Run, read_metrics
from difflab.trackers import wandb_end
from difflab.trackers.wandb_mode import PROBE_SECONDS, mode_of
from tests.conftest import train
from tests.wiring.test_resume import assert_equal, contents, rows
from tests.wiring.wandb_server import KEY, Server

SHORT = ("metrics=none", "train.total_nimg=512", "callbacks.noise_loss.every_nimg=64")
ONLINE = ("logger=wandb", "logger.finish_timeout=3")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server whose address and key wandb finds, and forgets afterwards."""
    wandb.teardown()
    found = Server()
    monkeypatch.setenv("WANDB_BASE_URL", found.url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    wandb.setup(wandb.Settings(silent=True))
    yield found
    found.close()
    with suppress(ConnectionError):  # its process was killed
        wandb.teardown()
    unset_globals()  # a run whose process was killed is else still the current one, and nobody can log in
    unauthenticate_session(update_settings=False)


@pytest.fixture(scope="module")
def untracked(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tmp_path_factory.mktemp("untracked"), *SHORT, "logger=none")


def session(run: Run) -> Path:
    """The folder of the run's only W&B session."""
    (folder,) = (run.path / "wandb").glob("run-*")
    return folder


def lines_of_wandb(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("W&B")]


@pytest.mark.slow
def test_server_gets_rows_settings_pictures_and_the_best_weights(
    server: Server, untracked: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(tmp_path, *SHORT, "logger=wandb")
    name = run.read_config().logger.run_id
    assert lines_of_wandb(capsys.readouterr().out) == [f"W&B: {server.url}/tester/difflab/runs/{name}"]
    ours = [{k: v for k, v in row.items() if k[0] != "_"} for row in server.rows(name) if "wall_s" in row]
    assert ours == read_metrics(run)
    assert name in server.finished
    assert {Path(file).suffix for file in server.files if "/media/" in file} == {".png", ".gif", ".json"}
    assert (server.runs[name]["project"], server.runs[name]["displayName"]) == ("difflab", f"smoke/{run.path.name}")
    (artifact,) = [a for a in server.artifacts if a["artifactTypeName"] == "model"]
    assert artifact["artifactCollectionName"] == f"smoke-{name}"
    assert {alias["alias"] for alias in artifact["aliases"]} == {"latest", "best"}
    weights, average = load(server.file("model.safetensors")), contents(run)["ema"]
    assert_equal({key: weights[key] for key in average}, average)
    assert server.file("result.json") == run.result.read_bytes()
    assert_same_run(run, untracked)


def test_server_gets_the_end_of_an_autoencoder_without_weights(server: Server, tmp_path: Path) -> None:
    """They are no model by themselves; the run ends as any other."""
    words = ("objective=reconstruction", "objective.autoencoder.width=8", "objective.autoencoder.multipliers=[1,2]")
    run = train(tmp_path, *words, "metrics=none", "train.total_nimg=64", "callbacks.samples.n=4", "logger=wandb")
    assert run.result.is_file() and (run.path / "report.html").is_file()
    assert run.read_config().logger.run_id in server.finished
    assert not [a for a in server.artifacts if a["artifactTypeName"] == "model"]


@pytest.mark.slow
def test_server_gone_in_mid_run_costs_one_line_and_nothing_is_lost(
    server: Server, untracked: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its rows and weights are those of a run without W&B; a server that comes back gets them all from `wandb sync`."""
    gone_after(server, 256, monkeypatch)
    run = train(tmp_path, *SHORT, *ONLINE)
    name = run.read_config().logger.run_id
    _, line = lines_of_wandb(capsys.readouterr().out)
    assert f"`wandb sync --include-online {session(run)}`" in line
    assert f"{server.url} does not answer" in line
    assert name not in server.finished
    assert_same_run(run, untracked)
    again = synced(session(run))
    assert [row["nimg"] for row in again.rows(name) if "wall_s" in row] == [row["nimg"] for row in read_metrics(run)]
    assert name in again.finished
    assert {Path(file).suffix for file in again.files if "/media/" in file} == {".png", ".gif"}


def gone_after(server: Server, nimg: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server refuses connections from then on, having taken the run."""
    on_train_batch_end = NoiseLoss.on_train_batch_end

    def leave(self: NoiseLoss, trainer: Any, pl_module: Any, *rest: Any) -> None:
        on_train_batch_end(self, trainer, pl_module, *rest)
        if pl_module.nimg == nimg:
            assert server.runs
            server.close()

    monkeypatch.setattr(NoiseLoss, "on_train_batch_end", leave)


def synced(folder: Path) -> Server:
    """Another server, after `wandb sync` of the folder."""
    server = Server()
    command = [Path(sys.executable).parent / "wandb", "sync", "--include-online", str(folder)]
    environment = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY, "HOME": str(folder), "PATH": ""}
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120)
    server.close()
    assert done.returncode == 0, done.stderr
    return server


def assert_same_run(run: Run, untracked: Run) -> None:
    """To the bit: weights, averages, optimiser, and every row but for the clock."""
    assert rows(run) == rows(untracked)
    for key in ("state_dict", "ema", "optimizer_states"):
        assert_equal(contents(run)[key], contents(untracked)[key])


def wandb_core_dies_after(nimg: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where memory runs out: the process to which wandb hands its rows is killed."""
    on_train_batch_end = NoiseLoss.on_train_batch_end

    def kill(self: NoiseLoss, trainer: Any, pl_module: Any, *rest: Any) -> None:
        on_train_batch_end(self, trainer, pl_module, *rest)
        if pl_module.nimg == nimg:
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            for child in children:
                if Path(f"/proc/{child}/comm").read_text() == "wandb-core\n":
                    os.kill(int(child), signal.SIGKILL)

    monkeypatch.setattr(NoiseLoss, "on_train_batch_end", kill)


@pytest.mark.slow
def test_killed_process_of_wandb_costs_one_line(
    server: Server, untracked: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wandb_core_dies_after(256, monkeypatch)
    run = train(tmp_path, *SHORT, *ONLINE)
    _, line = lines_of_wandb(capsys.readouterr().out)
    assert line.startswith("W&B: it takes nothing more (")
    assert_same_run(run, untracked)


def test_key_without_a_server_is_offline_within_seconds(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.close()
    begun = time.monotonic()
    assert mode_of(OmegaConf.create({"mode": "auto"})) == "offline"
    assert time.monotonic() - begun < PROBE_SECONDS
    assert capsys.readouterr().out == f"W&B offline: {server.url} does not answer ([Errno 111] Connection refused)\n"


def test_key_that_the_server_refuses_goes_on_offline(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers.pop("UpsertBucket")
    train(tmp_path, *SHORT, "logger=wandb", "train.total_nimg=64", "logger.start_timeout=5")
    first, second = lines_of_wandb(capsys.readouterr().out)
    assert first.startswith(f"W&B offline: {server.url} does not take the run (")
    assert first.endswith("UpsertBucket is not answered here)")
    assert second.startswith("W&B: `wandb sync ")


def test_online_on_demand_refuses_to_begin_offline(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    demanded = OmegaConf.create({"mode": "online"})
    assert mode_of(demanded) == "online"
    server.close()
    with pytest.raises(DifflabError, match=r"logger.mode=online, but .* does not answer .*; logger.mode=auto goes on"):
        mode_of(demanded)


@pytest.mark.parametrize(("key", "why"), [(None, "no key is found"), ("abc", "the key is not one")])
def test_without_a_key_that_is_one_no_server_is_asked(
    key: str | None, why: str, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", key) if key else monkeypatch.delenv("WANDB_API_KEY")
    wandb.teardown()
    wandb.setup(wandb.Settings(silent=True))
    assert mode_of(OmegaConf.create({"mode": "auto"})) == "offline"
    assert capsys.readouterr().out.startswith(f"W&B offline: {why}")
    assert server.asked == []


def test_environment_that_says_offline_is_followed(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert mode_of(OmegaConf.create({"mode": "auto"})) == "offline"
    assert capsys.readouterr().out == "W&B offline: WANDB_MODE=offline\n"
    assert server.asked == []


def test_end_is_bounded_even_where_wandb_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(wandb_end, "_end_process", ended.set)

    class Stuck:
        def finish(self, exit_code: int) -> None:
            assert ended.wait(60)

    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        wandb_end.finish_within(0.1, Stuck(), 0)
    assert time.monotonic() - begun < 30
