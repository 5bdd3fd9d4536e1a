"""The command line answers at once, explains itself, and composes options as their files have them."""

import subprocess
import sys

import pytest

from difflab.cli import VERBS, main
from difflab.config.compose import compose
from difflab.errors import DifflabError
from difflab.files import conf_dir
from difflab.progress import images_bar


@pytest.mark.parametrize(
    "words", [["--help"], ["train", "--help"], ["train", "trian.seed=1"], ["train", "sampler=hein"]]
)
def test_help_and_misspelt_words_import_nothing_heavy(words: list[str]) -> None:
    code = f"import sys; from difflab.cli import main; main({words}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stderr.split())
    assert not modules & {"torch", "pytorch_lightning", "wandb", "torchvision", "numpy", "PIL"}


def test_verbs_that_do_not_train_import_no_lightning() -> None:
    verbs = ", ".join(f"difflab.{verb}" for verb in VERBS if verb != "train")
    code = f"import sys, {verbs}; print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stderr.split()) & {"pytorch_lightning", "torchmetrics", "torchvision", "transformers", "wandb"}


def test_help_names_every_verb_and_every_choice(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(verb in text for verb in VERBS)
    for verb in VERBS:
        assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    flat = " ".join(text.split())
    for group in ("schedule", "sampler", "grid", "weighting"):
        assert f"{group}: {' '.join(sorted(p.stem for p in (conf_dir() / group).glob('*.yaml')))}" in flat


def test_no_verb_is_an_error_with_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: difflab VERB" in capsys.readouterr().out


def test_cfg_prints_what_would_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--cfg", "experiment=smoke", "train.seed=7"]) == 0
    text = capsys.readouterr().out
    assert "seed: 7" in text
    assert "name: smoke" in text
    assert "${" not in text


def test_named_option_is_taken_as_its_file_has_it() -> None:
    assert set(compose("train", ["grid=uniform_t"]).grid) == {"_target_", "steps"}
    assert compose("train", ["grid=uniform_t", "grid.steps=9"]).grid.steps == 9
    assert compose("train", ["grid=karras"]).grid.sigma_min == 0.002


def test_images_asked_for_take_the_place_of_minutes() -> None:
    assert compose("train", []).train.minutes == 10
    train = compose("train", ["train.total_nimg=640"]).train
    assert (train.minutes, train.total_nimg) == (None, 640)
    with pytest.raises(DifflabError, match="two budgets"):
        compose("train", ["train.total_nimg=640", "train.minutes=3.0"])


def test_a_number_may_stand_for_a_number() -> None:
    assert compose("train", ["optim.lr=1"]).optim.lr == 1
    assert compose("train", ["train.grad_clip=null"]).train.grad_clip is None


def test_progress_in_a_log_file_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("difflab.progress.LOG_SECONDS", 0.0)
    with images_bar("work", 10, done=2) as advance:
        advance(4, "loss 1.0")
    assert capsys.readouterr().err.startswith("work: 6/10 images, ")
