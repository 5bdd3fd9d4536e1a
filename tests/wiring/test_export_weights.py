"""The exported weights are the average, and the file says what it is."""

import json
import shutil
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from difflab import assemble
from difflab.files import file_digest, write_json
from difflab.runs.checkpoints import load_checkpoint
from difflab.runs.directory import Run
from difflab.runs.export_weights import export_weights


def test_file_loads_into_the_network_and_equals_the_average(smoke: Run, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    export_weights(smoke, path)
    found, average = load_file(path), load_checkpoint(smoke.checkpoint)["ema"]
    assert all(torch.equal(found[name], average[name]) for name in average)
    assert {found[name].dtype for name in average} == {torch.float32}
    assemble.denoiser(smoke.read_config()).load_state_dict(found)  # refuses a missing name or another shape


def test_metadata_names_configuration_images_figure_and_protocol(smoke: Run, tmp_path: Path) -> None:
    about = export_weights(smoke, tmp_path / "model.safetensors")
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
    about = export_weights(run, tmp_path / "model.safetensors")
    found = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(found[name], best[name]) for name in best)
    assert (about["nimg"], json.loads(about["protocol"])) == ("1024", {"n": 32})


def test_run_without_figures_exports_too(smoke: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    shutil.copytree(smoke.path, run.path)
    write_json(run.result, {"figures": []})
    about = export_weights(run, tmp_path / "model.safetensors")
    assert (about["figure"], about["protocol"]) == ("null", "null")
