"""A run that enlarges pictures, from training to the pictures of a user."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from difflab.cli import main
from difflab.data.images import average
from difflab.files import file_digest
from difflab.runs.directory import Run
from tests.conftest import train
from tests.wiring.test_errors import Capture, refusal


@pytest.fixture(scope="module")
def enlarging(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(
        tmp_path_factory.mktemp("runs"), "condition=image", "logger=none", "metrics=none", "train.total_nimg=512",
        "callbacks.film.at=[]", "callbacks.samples.n=4",
    )  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same picture in full and in low resolution, and another one."""
    folder = tmp_path_factory.mktemp("pictures")
    full = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    arrays = {"full": full, "low": average(full, 8, 8), "other": 255 - full}
    for name, array in arrays.items():
        Image.fromarray(array[0, 0].numpy()).save(folder / f"{name}.png")
    return [folder / f"{name}.png" for name in arrays]


def sample(run: Run, out: Path, *overrides: str) -> dict[str, object]:
    assert main(["sample", f"from={run.path}", f"out={out}", "n=4", *overrides]) == 0
    words = (out / "words.txt").read_text().split("\n")[:-1]
    about: dict[str, object] = json.loads((out / "samples.json").read_text())
    return about | {"words": words}


def pixels(out: Path) -> list[np.ndarray]:
    return [np.array(Image.open(out / f"{i:06d}.png")) for i in range(4)]


def test_a_file_is_enlarged_whether_full_or_low(enlarging: Run, files: list[Path], tmp_path: Path) -> None:
    full, low, other = files
    about = sample(enlarging, tmp_path / "a", f"image={full}")
    sample(enlarging, tmp_path / "b", f"image={low}")
    sample(enlarging, tmp_path / "c", f"image=[{low},{other}]")
    a, b, c = (pixels(tmp_path / name) for name in "abc")
    assert np.array_equal(a, b)
    assert np.array_equal(a[::2], c[::2]) and not np.array_equal(a[1], c[1])
    assert about["condition"] == "full.png" and about["words"] == ["full.png"] * 4
    assert 0 < float(about["low_resolution_psnr"]) < 60  # type: ignore[arg-type]
    assert about["low_resolution_psnr_n"] == 4
    assert about["inputs"] == [{"path": str(full), "sha256": file_digest(full)}]


def test_without_a_file_training_pictures_are_enlarged_side_by_side(enlarging: Run, tmp_path: Path) -> None:
    about = sample(enlarging, tmp_path)
    assert str(about["condition"]).startswith("drawn from fashion_mini/train")
    assert about["words"] == ["8x8"] * 4
    grid = sorted(enlarging.samples.glob("nimg=*.png"))[-1]
    assert Image.open(grid).size == (2 * 2 * 2 * 16, 2 * 2 * 16)  # two columns of pairs, twice as large


def test_files_that_do_not_fit_are_refused(enlarging: Run, tmp_path: Path, capsys: Capture) -> None:
    Image.new("L", (7, 7)).save(tmp_path / "odd.png")
    command = ("sample", f"from={enlarging.path}", f"out={tmp_path / 'out'}")
    assert "7x7 pixels: this run takes 8x8, or 16x16" in refusal(capsys, *command, f"image={tmp_path / 'odd.png'}")
    assert "image=nowhere.png: there is no such file" in refusal(capsys, *command, "image=nowhere.png")
    assert "not asked by label=, but by image=" in refusal(capsys, *command, "label=coat")
    assert not (tmp_path / "out").exists()


def test_a_run_without_the_condition_takes_no_file(smoke: Run, files: list[Path], capsys: Capture) -> None:
    assert "asked of a run without a condition" in refusal(capsys, "sample", f"from={smoke.path}", f"image={files[0]}")
