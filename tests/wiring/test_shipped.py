"""The model that comes with difflab: whole, of the experiment that the repository has, and of use."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from difflab.cli import main
from difflab.config.compose import compose
from difflab.files import file_digest
from difflab.runs.directory import Run, find_run
from difflab.runs.weights import load_denoiser

BESIDES = {"runs", "run_dir", "resume", "config", "logger", "callbacks", "trainer", "metrics", "figures"}


@pytest.fixture(scope="module")
def shipped() -> Run:
    return find_run("emoji_text")


def test_it_is_small_and_says_what_it_is(shipped: Run) -> None:
    assert shipped.model.stat().st_size <= 10e6
    for path in (
        shipped.metrics,
        shipped.figures,
        shipped.result,
        shipped.path / "report.html",
        shipped.path / "README.md",
    ):
        assert path.is_file()
    with safe_open(shipped.model, "pt") as opened:
        about = opened.metadata()
    assert about["experiment"] == "emoji_text" and about["config_sha256"] == file_digest(shipped.config)
    assert json.loads(about["protocol"])["nimg"] == int(about["nimg"]) == shipped.read_config().train.total_nimg


def test_it_was_trained_by_the_experiment_as_it_is(shipped: Run) -> None:
    there, here = shipped.read_config(), compose("train", ["experiment=emoji_text"])
    assert there.keys() == here.keys()
    differing = {key for key in here if there[key] != here[key]}
    assert differing <= BESIDES


def test_it_hears_its_words(shipped: Run) -> None:
    """Where a shape is decided, training pictures are guessed better by their own captions than by others or none."""
    from difflab.data.image_data import from_config

    denoiser, _ = load_denoiser(shipped)
    train = from_config(shipped.read_config().data, batch_size=1, seed=0).train
    some = train.select(torch.arange(0, len(train), 40))
    x0 = some.pixels.float() / 127.5 - 1
    alpha, sigma = torch.tensor(0.3).double(), torch.tensor(0.954).double()
    x = alpha.float() * x0 + sigma.float() * torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))

    def error(captions: list[str]) -> float:
        with torch.inference_mode():
            guess = denoiser.given(denoiser.condition.ask(captions))(x, alpha, sigma)
        return float((guess - x0).square().mean())

    assert some.captions is not None
    own, others = error(some.captions), error([*some.captions[1:], some.captions[0]])
    assert own < 0.9 * others
    assert own < error([""] * len(some))


@pytest.mark.slow
def test_its_samples_have_the_style_that_was_asked_for(
    shipped: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More often than chance, a third."""
    monkeypatch.chdir(tmp_path)
    assert main(["agreement", "from=emoji_text", "scales=[3.0]", "n=60", "nfe=30", "out=found"]) == 0
    figures = json.loads((tmp_path / "found" / "agreement.json").read_text())["figures"]
    assert figures[0]["name"].startswith("agreement_style") and figures[0]["value"] > 0.5
