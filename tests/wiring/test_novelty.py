"""`difflab novelty`: whose copy a sample is, in words, figures and a picture; misuse in one line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from difflab.cli import main
from difflab.config.compose import compose
from difflab.data.embedded import fashion_mini
from difflab.data.image_data import from_config
from difflab.pixels import save_png
from difflab.runs.directory import Run


def novelty(out: Path, *overrides: str) -> dict[str, Any]:
    assert main(["novelty", f"out={out}", *overrides]) == 0
    return json.loads((out / "novelty.json").read_text())


def values(numbers: dict[str, Any], role: str | None = None) -> dict[str, float]:
    return {f["name"]: f["value"] for f in numbers["figures"] if f["protocol"].get("role") == role}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 garments as a data set of one's own."""
    root = tmp_path_factory.mktemp("garments")
    for i, image in enumerate(fashion_mini((1, 32, 32))[0].pixels[::160][:120]):
        save_png(root / f"{i:03d}.png", image)
    return root


@pytest.fixture(scope="module")
def data(folder: Path) -> tuple[str, ...]:
    return (
        "data=folder", f"data.root={folder}", "data.shape=[1,32,32]", "data.source.val_fraction=0.4",
        "metrics.extractor.size=32", "rows=2", "neighbours=3",
    )  # fmt: skip


@pytest.fixture(scope="module")
def copies(data: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training pictures under the names of their places in the training set: plain ones, and mirrored ones."""
    root = tmp_path_factory.mktemp("copies")
    cfg = compose("doctor", list(data[:4]))
    train = from_config(cfg.data, batch_size=1, seed=0).train.pixels
    for i in range(40):
        save_png(root / ("plain" if i % 2 else "mirrored") / f"{i}.png", train[i] if i % 2 else train[i].flip(-1))
    return root


def test_copies_in_a_folder_are_named_and_counted(copies, data, tmp_path, capsys) -> None:
    numbers = novelty(tmp_path / "out", f"from={copies / 'plain'}", *data)
    text = capsys.readouterr().out
    assert "pixels: 20 of 20 samples (100 % ± 4.3 %) are exact copies; 0 of " in text
    found = values(numbers)
    for space in ("efficientnet_lite0", "pixels"):
        assert [Path(name).stem for name in numbers["samples"]] == [
            str(i) for i in numbers["nearest"][space]["train_index"]
        ]
        assert (found[f"near_copies_{space}"], found[f"authenticity_{space}"]) == (1, 0)
        assert found[f"copying_z_{space}"] < -3
    assert values(numbers, "held out")["exact_copies_pixels"] == 0
    page = np.array(Image.open(tmp_path / "out" / "novelty.png"))
    assert 800 < page.shape[1] < 1200
    assert ((page == (0xD5, 0x5E, 0)).all(2)).sum() > 1000  # frames of near-copies


def test_mirrored_copies_count_where_training_mirrors(copies, data, tmp_path, capsys) -> None:
    exact = {}
    for flip in ("true", "false"):
        numbers = novelty(tmp_path / flip, f"from={copies / 'mirrored'}", f"data.flip={flip}", *data)
        exact[flip] = values(numbers)["exact_copies_pixels"]
        protocol = numbers["figures"][0]["protocol"]
        assert (protocol["flips"], protocol["n"]) == ("reference" if flip == "true" else "none", 20)
        assert ("and their mirrored copies" in capsys.readouterr().out) == (flip == "true")
    assert exact["true"] == 1
    assert exact["false"] < 0.2


def test_samples_of_a_run_are_no_copies_and_say_how_they_were_made(smoke: Run, tmp_path, capsys) -> None:
    options = (f"from={smoke.path}", "metrics=none", "n=6", "held_out=100", "rows=1", "neighbours=2")
    numbers = novelty(tmp_path, *options)
    assert "pixels: the samples lie farther from training pictures than real ones do" in capsys.readouterr().out
    assert values(numbers)["exact_copies_pixels"] == values(numbers)["near_copies_pixels"] == 0
    protocol = numbers["figures"][0]["protocol"]
    expected = {"sampler": "dpmpp_2m()", "nimg": 2048, "sample_seed": 1, "n": 6, "reference_n": 20_000}
    assert expected.items() <= protocol.items()
    assert len(numbers["nearest"]["pixels"]["distance"]) == 6


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([], ["from= is missing", "difflab novelty"]),
        (["from=nowhere"], ["from=nowhere", "no such run"]),
        (["from={copies}"], ["data= is missing", "data=cifar10"]),
        (["from={copies}", "data=fashion_mini", "n=500"], ["n=500", "20 pictures"]),
        (["from={copies}", "data=fashion_mini", "data.shape=[1,16,16]"], ["32x32", "16x16"]),
        (["from={copies}", "data=fashion_mini", "n=0"], ["n=0", "1 or more"]),
        (["from={copies}", "data=fashion_mini", "quantile=1.5"], ["quantile=1.5", "between 0 and 1"]),
        (["from={copies}", "data=fashion_mini", "held_out=1"], ["held_out=1", "2 or more"]),
        (["from={copies}", "data=fashion_mini", "rows=0"], ["rows=0", "1 or more"]),
    ],
)
def test_misuse_is_one_line_and_writes_nothing(overrides, words, copies, tmp_path, capsys) -> None:
    named = [o.format(copies=copies / "plain") for o in overrides]
    assert main(["novelty", f"out={tmp_path / 'out'}", *named]) == 1
    error = capsys.readouterr().err
    assert error.startswith("difflab: ")
    assert error.count("\n") == 1, error
    assert all(word in error for word in words), error
    assert not list(tmp_path.iterdir())
