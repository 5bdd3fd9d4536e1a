"""A run with text, from training to pictures of a prompt, and whether they show what was asked for."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from difflab.cli import main
from difflab.runs.directory import Run
from difflab.runs.weights import load_denoiser
from tests.conftest import train
from tests.wiring.test_errors import Capture, refusal

THUMBNAILS = ("metrics=module", "metrics.n=8")


@pytest.fixture(scope="module")
def text_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two steps of emoji_text on tiny pictures, without figures."""
    return train(
        tmp_path_factory.mktemp("runs"), "experiment=emoji_text", "net=unet_tiny", "data.shape=[3,16,16]",
        "train.minutes=null", "train.total_nimg=32", "train.batch_size=16", "grid.steps=2", "logger=none",
        "metrics=none", "callbacks.samples.n=2",
    )  # fmt: skip


def sample(run: Run, out: Path, *overrides: str) -> dict[str, Any]:
    assert main(["sample", f"from={run.path}", f"out={out}", "n=3", *overrides]) == 0
    words = (out / "words.txt").read_text().split("\n")[:-1]
    about: dict[str, Any] = json.loads((out / "samples.json").read_text())
    return about | {"words": words}


def test_a_prompt_is_all_that_follows(text_run: Run, tmp_path: Path) -> None:
    prompt = 'crying cat, noto style: a "unicorn" in {it} for $5 or $_$?'
    about = sample(text_run, tmp_path, f"prompt={prompt}")
    assert about["words"] == [prompt] * 3
    assert (tmp_path / "grid.png").exists()


def test_prompts_in_turn_from_a_list_or_a_file(text_run: Run, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("a cat, noto style\n\na dog\n")
    assert sample(text_run, tmp_path / "a", f"prompts={tmp_path}/prompts.txt")["words"][:2] == [
        "a cat, noto style",
        "a dog",
    ]
    assert sample(text_run, tmp_path / "b", 'prompt=["a, b",""]')["words"] == ["a, b", "", "a, b"]


def test_an_empty_prompt_is_the_unconditional_path(text_run: Run) -> None:
    denoiser, _ = load_denoiser(text_run)
    x, alpha, sigma = torch.randn(2, 3, 16, 16), torch.tensor(0.6), torch.tensor(0.8)
    with torch.inference_mode():
        asked = denoiser.given(denoiser.condition.ask(["", ""]))(x, alpha, sigma)
        assert torch.equal(asked, denoiser(x, alpha, sigma))


def test_words_that_a_run_cannot_read_are_refused(text_run: Run, tmp_path: Path, capsys: Capture) -> None:
    run = (f"from={text_run.path}", f"out={tmp_path}/no")
    assert "not asked by label=, but by prompt=" in refusal(capsys, "sample", *run, "label=cat")
    assert "prompt=?!: there is no letter and no digit in it" in refusal(capsys, "sample", *run, "prompt=?!")
    assert "is empty" in refusal(capsys, "sample", *run, "prompts=/dev/null")
    assert not (tmp_path / "no").exists()


def test_text_without_captions_is_refused(tmp_path: Path, capsys: Capture) -> None:
    arguments = ("experiment=smoke", "condition=text_learned", "logger=none", "metrics=none", f"runs={tmp_path}")
    assert "needs captions" in refusal(capsys, "train", *arguments)
    assert list(tmp_path.iterdir()) == []


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


def test_what_cannot_be_measured_is_refused(text_run: Run, smoke: Run, capsys: Capture) -> None:
    run = f"from={text_run.path}"
    assert "has no condition" in refusal(capsys, "agreement", f"from={smoke.path}", *THUMBNAILS)
    assert "n=508" in refusal(capsys, "agreement", run, "n=508", *THUMBNAILS)
    assert "scales=[]" in refusal(capsys, "agreement", run, "scales=[]", *THUMBNAILS)
    assert "guidance=classifier_free" in refusal(capsys, "agreement", run, "guidance=clip", *THUMBNAILS)
    assert "metrics=none" in refusal(capsys, "agreement", run)
    assert "from= is missing" in refusal(capsys, "agreement", "n=6")
