"""Pictures of a run: sample i is a function of (seed, i), and the folder says how it was made."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from difflab import assemble
from difflab.cli import main
from difflab.runs.directory import Run
from difflab.runs.weights import load_denoiser


def pictures(folder: Path) -> np.ndarray:
    return np.stack([np.array(Image.open(p)) for p in sorted(folder.glob("0*.png"))])


def sample(run: Run, out: Path, *overrides: str) -> np.ndarray:
    assert main(["sample", f"from={run.path}", f"out={out}", *overrides]) == 0
    return pictures(out)


def test_folder_holds_pictures_grid_and_protocol(smoke: Run, tmp_path: Path) -> None:
    assert sample(smoke, tmp_path, "n=5", "sampler=heun", "grid.steps=3").shape == (5, 16, 16)
    assert Image.open(tmp_path / "grid.png").size == (3 * 32, 2 * 32)
    protocol = json.loads((tmp_path / "samples.json").read_text())
    assert protocol["sampler"] == "heun()"
    assert (protocol["n"], protocol["seed"], protocol["nfe"], protocol["nimg"]) == (5, 0, 5, 2048)


def test_a_folder_in_use_is_left_alone(smoke: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["sample", f"from={smoke.path}", f"out={tmp_path}", "n=1"]) == 1
    assert f"out={tmp_path} holds something already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_may_be_called_a_number_or_lie_at_home(
    smoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for out, there in (("1", "1"), ("~/made", "home/made")):
        assert main(["sample", f"from={smoke.path}", f"out={out}", "n=1"]) == 0
        assert (tmp_path / there / "000000.png").exists()


def test_seeds_and_weights_make_a_difference(smoke: Run, tmp_path: Path) -> None:
    first = sample(smoke, tmp_path / "a", "n=4")
    assert np.array_equal(first, sample(smoke, tmp_path / "b", "n=4"))
    assert not np.array_equal(first, sample(smoke, tmp_path / "c", "n=4", "seed=1"))
    assert not np.array_equal(first, sample(smoke, tmp_path / "d", "n=4", "weights=raw"))


@pytest.mark.parametrize("sampler", ["heun", "ddpm"])
def test_picture_does_not_depend_on_its_batch(smoke: Run, sampler: str) -> None:
    """To 1e-5: the convolution kernels differ by batch size, the noise does not."""
    cfg = smoke.read_config()
    cfg.sampler = {"_target_": f"difflab.samplers.{'ddim' if sampler == 'ddpm' else sampler}", "_partial_": True}
    if sampler == "ddpm":
        cfg.sampler = {**cfg.sampler, "eta": 1.0}
    generation = assemble.generation(cfg)
    denoiser, _ = load_denoiser(smoke)
    with torch.inference_mode():
        *_, alone = generation.steps(denoiser, 0, [5])
        *_, many = generation.steps(denoiser, 0, range(16))
        *_, other = generation.steps(denoiser, 0, [9, 5, 2])
    torch.testing.assert_close(alone.x[0], many.x[5], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(alone.x[0], other.x[1], rtol=1e-5, atol=1e-5)


def test_group_of_another_verb_is_refused(smoke: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", f"from={smoke.path}", "schedule=cosine"]) == 1
    assert "'schedule' is not a setting of difflab sample" in capsys.readouterr().err


def test_no_pictures_is_refused(smoke: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", f"from={smoke.path}", "n=0"]) == 1
    assert "n=0" in capsys.readouterr().err
