"""The exported weights are the average, and the file says what it is."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from difflab import assemble
from difflab.errors import DifflabError
from difflab.files import file_digest, read_json, write_json
from difflab.runs.checkpoints import load_checkpoint
from difflab.runs.directory import Run
from difflab.runs.export_weights import Exported
from difflab.runs.weights import load_denoiser, load_snapshot, snapshot_path


def test_file_loads_into_the_network_and_equals_the_average(smoke: Run, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    Exported.of(smoke).write(path, smoke.config)
    found, average = load_file(path), load_checkpoint(smoke.checkpoint)["ema"]
    assert all(torch.equal(found[name], average[name]) for name in average)
    assert {found[name].dtype for name in average} == {torch.float32}
    assemble.denoiser(smoke.read_config()).load_state_dict(found)  # refuses a missing name or another shape


def test_metadata_names_configuration_images_figure_and_protocol(smoke: Run, tmp_path: Path) -> None:
    about = Exported.of(smoke).write(tmp_path / "model.safetensors", smoke.config)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert file.metadata() == about
    first = json.loads(smoke.result.read_text())["figures"][0]
    assert (about["experiment"], about["nimg"]) == ("smoke", "2048")
    assert about["config_sha256"] == file_digest(smoke.config)
    assert json.loads(about["figure"]) == {key: first[key] for key in ("name", "value", "error")}
    assert json.loads(about["protocol"]) == first["protocol"]


def test_best_checkpoint_goes_before_the_last(smoke: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    shutil.copytree(smoke.path, run.path)
    last = load_checkpoint(run.checkpoint)
    best = {name: tensor + 1 for name, tensor in last["ema"].items()}
    figure = {"name": "fd", "value": 3.0, "error": None, "protocol": {"n": 32}}
    torch.save({"nimg": 1024, "ema": best, "figure": figure}, run.best)
    about = Exported.of(run).write(tmp_path / "model.safetensors", run.config)
    found = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(found[name], best[name]) for name in best)
    assert (about["nimg"], json.loads(about["protocol"])) == ("1024", {"n": 32})


def test_run_without_figures_exports_too(smoke: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    shutil.copytree(smoke.path, run.path)
    write_json(run.result, {"figures": []})
    about = Exported.of(run).write(tmp_path / "model.safetensors", run.config)
    assert (about["figure"], about["protocol"]) == ("null", "null")


def test_a_checkpoint_that_is_named_goes_before_the_best(smoke: Run, tmp_path: Path) -> None:
    """With no figure, as none was measured of it."""
    run = Run(tmp_path / "run")
    shutil.copytree(smoke.path, run.path)
    last = load_checkpoint(run.checkpoint)
    torch.save({"nimg": 1024, "ema": last["ema"], "figure": {"name": "fd", "value": 3.0}}, run.best)
    young = {name: tensor + 2 for name, tensor in last["ema"].items()}
    torch.save({"nimg": 512, "ema": young}, snapshot_path(run, 512))
    about = Exported.of(Run(run.path, snapshot_path(run, 512))).write(tmp_path / "model.safetensors", run.config)
    found = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(found[name], young[name]) for name in young)
    assert (about["nimg"], about["figure"], about["protocol"]) == ("512", "null", "null")


def test_weights_that_lack_a_parameter_are_refused_by_name(smoke: Run, tmp_path: Path) -> None:
    """Of a file that has averages alone: what it lacks would stay as it was drawn."""
    run = Run(tmp_path / "run")
    shutil.copytree(smoke.path, run.path)
    average = load_checkpoint(run.checkpoint)["ema"]
    name = next(iter(average))
    short = {other: tensor for other, tensor in average.items() if other != name}
    torch.save({"nimg": 512, "ema": short}, snapshot_path(run, 512))
    for load in (lambda: load_denoiser(Run(run.path, snapshot_path(run, 512))), lambda: load_snapshot(run, 512)):
        with pytest.raises(DifflabError, match=rf"snapshot-nimg=000000512.ckpt .* such as {re.escape(name)} \(absent"):
            load()


def test_figures_of_before_the_run_went_on_are_not_those_of_its_weights(smoke: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    shutil.copytree(smoke.path, run.path)
    write_json(run.result, {**read_json(run.result), "nimg": 1024})
    assert Exported.of(run).figure is None
