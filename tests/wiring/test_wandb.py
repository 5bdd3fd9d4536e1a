"""An offline W&B run holds everything, and needs neither account nor network nor answer."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from difflab.cli import main
from difflab.config.compose import compose
from difflab.config.tree import leaves
from difflab.dashboard import as_json
from difflab.runs.directory import Run, read_metrics
from tests.conftest import train


@lru_cache
def records(run: Run) -> list[dict[str, Any]]:
    """Every record of every offline session of the run, as wandb's own reader gives them."""
    out = []
    wandb = Path(sys.executable).parent / "wandb"
    for folder in sorted((run.path / "wandb").glob("offline-run-*")):
        command = [wandb, "leet", "inspect", "--json", str(next(folder.glob("*.wandb")))]
        text = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=60).stdout
        out += [json.loads(line) for line in text.splitlines()]
    return out


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Run:
    runs = tmp_path_factory.mktemp("runs")
    return train(runs, "train.total_nimg=1024", "callbacks.evaluation.proxy.every_nimg=512")


def test_offline_run_holds_config_curves_samples_and_figures(tracked: Run) -> None:
    text = json.dumps(records(tracked))
    for wanted in ("sigma_data", "difflab.schedules.Cosine"):
        assert wanted in text, wanted
    media = {p.suffix for p in (tracked.path / "wandb").rglob("media/**/*") if p.is_file()}
    assert media == {".png", ".gif", ".json"}


def test_every_row_of_the_run_is_in_its_history(tracked: Run) -> None:
    history = [record["history"]["item"] for record in records(tracked) if "history" in record]
    of_wandb = ("_step", "_runtime", "_timestamp")
    plain = [{k: v for k, v in row.items() if k not in of_wandb and not k.endswith("/error")} for row in history]
    rows = read_metrics(tracked)
    assert [row for row in plain if "wall_s" in row] == rows
    assert {"ema/halflife_nimg", "ema/distance", "train/grad_norm"} <= rows[0].keys()


def test_figures_have_their_error_beside_them(tracked: Run) -> None:
    last = {k: v for record in records(tracked) for k, v in record.get("summary", {}).get("update", {}).items()}
    result = json.loads(tracked.result.read_text())
    for figure in result["figures"]:
        assert last[f"figures/{figure['name']}/n=64"] == last[f"final/{figure['name']}"] == figure["value"]
        assert last[f"figures/{figure['name']}/n=64/error"] == last[f"final/{figure['name']}/error"] == figure["error"]
    assert (last["nimg"], last["img_per_s"]) == (1024, result["img_per_s"])


def panels(node: Any) -> Iterator[dict[str, Any]]:
    """Every panel of a workspace's JSON."""
    if isinstance(node, dict) and "viewType" in node:
        yield node
    elif isinstance(node, dict | list):
        for part in node.values() if isinstance(node, dict) else node:
            yield from panels(part)


def test_every_panel_of_the_dashboard_shows_rows_and_settings_of_the_run(tracked: Run) -> None:
    history = {name for r in records(tracked) if "history" in r for name in r["history"]["item"]}
    history |= {name.removesuffix(end) for name in history for end in (".path", "._type") if name.endswith(end)}
    summary = {name for record in records(tracked) for name in record.get("summary", {}).get("update", {})}
    settings = leaves(tracked.read_config())
    history |= {"band/verdict", "band/x0_mse/", "band/proxy/"}  # a run so short has no verdict
    for panel in panels(json.loads(as_json(compose("dashboard", [])))):
        kind, config = panel["viewType"], panel["config"]
        if kind == "Run History Line Plot":
            found = [name for name in history if re.search(config.get("metricRegex", "^$"), name)]
            assert found or config["metrics"], panel
            assert {config["xAxis"], *config["metrics"]} <= history
        elif kind == "Media Browser":
            assert set(config["mediaKeys"]) <= history
        elif kind == "Weave":
            assert '"samples/table"' in json.dumps(config)
            assert "samples/table" in history
        elif kind == "Parallel Coordinates Plot":
            keys = [column["accessor"].partition(":") for column in config["columns"]]
            assert {key for kind, _, key in keys if kind == "summary"} <= summary
            assert {key.replace(".value", "", 1) for kind, _, key in keys if kind == "config"} <= settings.keys()
        elif kind == "Parameter Importance":
            assert config["targetKey"] in summary
        else:
            assert kind == "Bar Chart"
            assert set(config["metrics"]) <= summary


def test_samples_and_films_say_what_they_are(tracked: Run) -> None:
    history = [record["history"]["item"] for record in records(tracked) if "history" in record]
    captions = [(row["nimg"], row["films/reverse.caption"]) for row in history if "films/reverse.caption" in row]
    assert captions == [(512, "512 images seen, seed 0"), (1024, "1,024 images seen, seed 0")]
    (grid,) = [row for row in history if "samples/grid.path" in row]
    assert (grid["nimg"], grid["samples/grid.caption"]) == (1024, "1,024 images seen, seed 0")
    (file,) = (tracked.path / "wandb").rglob("media/table/**/*.json")
    table = json.loads(file.read_text())
    assert table["columns"] == ["number", "seed", "picture"]
    assert [row[:2] for row in table["data"]] == [[number, 0] for number in range(16)]


def test_no_weights_are_staged_or_copied_offline(tracked: Run) -> None:
    files = [p for p in (tracked.path / "wandb").rglob("*") if p.is_file()]
    assert not [p for p in files if p.suffix in (".safetensors", ".ckpt")]
    weights = tracked.checkpoint.stat().st_size / 4  # beside it, average, and two moments
    assert max(p.stat().st_size for p in files) < weights / 4


def test_protocols_stand_beside_the_settings_of_figures(tracked: Run) -> None:
    config = settings(tracked)
    assert config["protocols"]["figures/fd_efficientnet_lite0/n=64"]["nfe"] == 4
    assert config["figures"]["kid"]["subsets"] == tracked.read_config().figures.kid.subsets


def settings(run: Run) -> dict[str, Any]:
    """What W&B holds as the run's configuration."""
    config: dict[str, Any] = {}
    for record in records(run):
        for part in (record, record.get("run", {})):  # the first settings come with the run
            config |= part.get("config", {}).get("update", {})
    return config


def test_configuration_names_git_python_and_packages(tracked: Run) -> None:
    result = json.loads(tracked.result.read_text())
    assert settings(tracked)["environment"] == {key: result[key] for key in ("git", "python", "packages")}


def test_history_is_over_images_seen(tracked: Run) -> None:
    history = [r for r in records(tracked) if "loss" in json.dumps(r) and "history" in json.dumps(r).lower()]
    assert history
    assert all("nimg" in json.dumps(r) for r in history)


@pytest.mark.slow
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


@pytest.mark.slow
def test_one_process_two_runs_two_ids_and_resume_keeps_its_own(tracked: Run, tmp_path: Path) -> None:
    other = train(tmp_path, "train.total_nimg=128", "metrics=none")
    ids = {r.read_config().logger.run_id for r in (tracked, other)}
    assert len(ids) == 2
    assert main(["train", f"resume={other.path}", "train.total_nimg=256"]) == 0
    sessions = [p.name for p in (other.path / "wandb").glob("offline-run-*")]
    assert len(sessions) == 2
    assert all(other.read_config().logger.run_id in name for name in sessions)


@pytest.mark.slow
def test_kill_costs_at_most_the_last_seconds(tmp_path: Path) -> None:
    """kill -9 in mid-run: the offline log holds the rows up to two seconds before (it is flushed every second)."""
    command = [sys.executable, "-m", "difflab.cli", "train", "experiment=smoke", f"runs={tmp_path}", "metrics=none"]
    process = subprocess.Popen([*command, "train.total_nimg=1000000", "callbacks.samples.every_nimg=null"])
    try:
        run = wait_for(lambda: next(iter(tmp_path.glob("smoke/*/metrics.jsonl")), None))
        wait_for(lambda: len(read_metrics(Run(run.parent))) > 20 or None)
    finally:
        process.kill()
        process.wait()
    rows = read_metrics(Run(run.parent))
    kept = {record["history"]["item"]["nimg"] for record in records(Run(run.parent)) if "history" in record}
    assert {row["nimg"] for row in rows if row["wall_s"] < rows[-1]["wall_s"] - 2} <= kept
    assert kept


def wait_for(look: Callable[[], Any], seconds: float = 120) -> Any:
    """What `look` finds at last."""
    end = time.monotonic() + seconds
    while (found := look()) is None:
        assert time.monotonic() < end
        time.sleep(0.1)
    return found
