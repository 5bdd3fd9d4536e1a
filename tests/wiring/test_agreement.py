"""difflab agreement: samples are asked for what held-out pictures are, and probes say what they see."""

import json
from pathlib import Path

import pytest
from PIL import Image

from difflab.cli import main
from difflab.runs import Run
from tests.conftest import train
from tests.wiring.test_errors import refusal

THUMBNAILS = ("metrics=module", "metrics.n=8")


@pytest.fixture(scope="module")
def text_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two steps of emoji_text on tiny pictures, without figures."""
    return train(
        tmp_path_factory.mktemp("runs"), "experiment=emoji_text", "net=unet_tiny", "data.shape=[3,16,16]",
        "train.minutes=null", "train.total_nimg=32", "train.batch_size=16", "grid.steps=2", "logger=none",
        "metrics=none", "callbacks.samples.n=2",
    )  # fmt: skip


def test_figures_at_every_scale_and_of_real_pictures(text_run: Run, tmp_path: Path) -> None:
    assert main(["agreement", f"from={text_run.path}", f"out={tmp_path}", "n=6", "scales=[1.0,3.0]", *THUMBNAILS]) == 0
    found = json.loads((tmp_path / "agreement.json").read_text())
    figures = found["figures"]
    names = [f"agreement_{attribute}_module" for attribute in ("style", "category")]
    assert [figure["name"] for figure in figures] == names * 3
    protocols = [figure["protocol"] for figure in figures]
    assert [p["n"] for p in protocols] == [6, 6, 6, 6, 507, 507]
    assert [p.get("role") for p in protocols] == [None] * 4 + ["floor"] * 2
    assert "scale=1.0" in protocols[0]["guidance"] and "scale=3.0" in protocols[2]["guidance"]
    assert (protocols[0]["nfe"], protocols[2]["nfe"]) == (2, 4)
    assert protocols[0]["condition"].startswith("as emoji/val (")
    assert figures[4]["value"] > 0.5  # of three styles, thumbnails of real pictures tell more than chance
    assert [line.split(":")[0] for line in found["words"]] == names
    assert "at 1" in found["words"][0] and "at 3 (guidance scale)" in found["words"][0]
    assert Image.open(tmp_path / "agreement.png").size[1] > 400


def test_what_cannot_be_measured_is_refused(text_run: Run, smoke: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run = f"from={text_run.path}"
    assert "has no condition" in refusal(capsys, "agreement", f"from={smoke.path}", *THUMBNAILS)
    assert "n=508" in refusal(capsys, "agreement", run, "n=508", *THUMBNAILS)
    assert "scales=[]" in refusal(capsys, "agreement", run, "scales=[]", *THUMBNAILS)
    assert "guidance=classifier_free" in refusal(capsys, "agreement", run, "guidance=clip", *THUMBNAILS)
    assert "metrics=none" in refusal(capsys, "agreement", run)
    assert "from= is missing" in refusal(capsys, "agreement", "n=6")
