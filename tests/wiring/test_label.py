"""A run with labels, from training to pictures of a class."""

import json
from pathlib import Path

import pytest
from PIL import Image

from difflab.cli import main
from difflab.pictures.labelled import columns_for
from difflab.runs.directory import Run, read_rows
from difflab.runs.weights import load_denoiser
from tests.conftest import train
from tests.wiring.test_errors import Capture, refusal

LABELS = ("condition=label", "guidance=classifier_free")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tmp_path_factory.mktemp("runs"), *LABELS, "logger=none", "train.total_nimg=512")


def sample(run: Run, out: Path, *overrides: str) -> dict[str, object]:
    assert main(["sample", f"from={run.path}", f"out={out}", "n=4", *overrides]) == 0
    words = (out / "words.txt").read_text().split("\n")[:-1]
    about: dict[str, object] = json.loads((out / "samples.json").read_text())
    return about | {"words": words}


def pixels(out: Path) -> list[bytes]:
    return [Image.open(out / f"{i:06d}.png").tobytes() for i in range(4)]


def test_the_condition_is_trained_and_averaged_along(labelled: Run) -> None:
    trained, _ = load_denoiser(labelled, "raw")
    averaged, _ = load_denoiser(labelled)
    rows = [d.condition.embedding.weight for d in (trained, averaged)]
    assert rows[0].shape == (11, 128)
    assert (rows[0] - rows[1]).abs().max() > 0


def test_figures_say_how_samples_were_conditioned_and_guided(labelled: Run) -> None:
    protocol = json.loads(labelled.result.read_text())["figures"][0]["protocol"]
    assert protocol["condition"].startswith("drawn from fashion_mini/train (")
    assert protocol["guidance"] == "ClassifierFree(scale=2.0, interval=[0.0, inf], rescale=0.0)"
    assert protocol["nfe"] == 8
    assert read_rows(labelled.figures)[0]["protocol"]["condition"] == protocol["condition"]


@pytest.mark.parametrize(
    ("words", "columns"),
    [
        (["a", "b", "c"] * 4, 3),
        (["a", "b", "c", "a"], 3),
        (["a"] * 9, 3),
        (["a", "b", "c", "d"], 2),  # each once
        (["a", "b", "b", "a"], 2),  # drawn, not in turn
        ([str(i % 20) for i in range(40)], 7),  # too many to stand side by side
    ],
)
def test_words_in_turn_have_a_column_each(words: list[str], columns: int) -> None:
    assert columns_for(words) == columns


def test_a_class_is_sampled_with_its_words_below_it(labelled: Run, tmp_path: Path) -> None:
    about = sample(labelled, tmp_path, "label=[coat,Bag]")
    assert about["words"] == ["coat", "bag", "coat", "bag"]
    assert about["condition"] == "coat, bag"
    assert Image.open(tmp_path / "grid.png").mode == "RGB"  # with words in it


def test_labels_and_guidance_make_a_difference_and_scale_1_none(labelled: Run, tmp_path: Path) -> None:
    for name, overrides in {
        "coat": ["label=coat"], "bag": ["label=bag"], "more": ["label=coat", "guidance.scale=4.0"],
        "one": ["label=coat", "guidance.scale=1.0"], "none": ["label=coat", "guidance=none"],
    }.items():  # fmt: skip
        sample(labelled, tmp_path / name, *overrides)
    made = {name: pixels(tmp_path / name) for name in ("coat", "bag", "more", "one", "none")}
    assert made["one"] == made["none"]
    assert len({tuple(made[name]) for name in ("coat", "bag", "more", "one")}) == 4


def test_guidance_away_from_a_guess_that_was_never_trained_is_refused(tmp_path: Path, capsys: Capture) -> None:
    words = (
        "experiment=smoke",
        f"runs={tmp_path}",
        "condition=label",
        "condition.dropout=0",
        "guidance=classifier_free",
    )
    assert "which condition.dropout=0 never trains" in refusal(capsys, "train", *words)


def test_without_words_samples_are_conditioned_as_the_data(labelled: Run, tmp_path: Path) -> None:
    about = sample(labelled, tmp_path)
    assert str(about["condition"]).startswith("drawn from fashion_mini/train")
    assert set(about["words"]) <= set(labelled.read_config().data.classes)  # type: ignore[call-overload]


def test_evaluation_draws_conditions_too(labelled: Run, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    assert main(["evaluate", f"from={labelled.path}", "n=8", "figures=fast", "floor=false", f"out={out}"]) == 0
    (figure, *_) = json.loads(out.read_text())["figures"]
    assert figure["protocol"]["condition"].startswith("drawn from fashion_mini/train")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["label=caot"], ["label=caot is no class of this run", "did you mean 'coat'?"]),
        (["prompt=a coat"], ["prompt=a coat", "not asked by prompt=, but by label="]),
        (["label=coat", "prompts=x.txt"], ["label and prompts both say what to make"]),
        (["label=[]"], ["label=[]", "one thing or more"]),
        (["label=CAOT"], ["did you mean 'coat'?"]),
        (["prompts=5"], ["prompts=5", "not asked by prompts="]),
        (["prompts=/nowhere.txt"], ["prompts=/nowhere.txt", "not asked by prompts=, but by label="]),
    ],
)
def test_words_that_mean_nothing_are_refused(
    labelled: Run, tmp_path: Path, capsys: Capture, words: list[str], message: list[str]
) -> None:
    error = refusal(capsys, "sample", f"from={labelled.path}", f"out={tmp_path / 'out'}", *words)
    assert all(part in error for part in message), error
    assert not (tmp_path / "out").exists()


def test_a_run_without_a_condition_takes_no_words_and_no_guidance_by_them(smoke: Run, capsys: Capture) -> None:
    assert "'coat' is asked of a run without a condition" in refusal(
        capsys, "sample", f"from={smoke.path}", "label=coat"
    )
    error = refusal(capsys, "sample", f"from={smoke.path}", "guidance=classifier_free")
    assert "the run has no condition to guide by" in error
    assert "guidance=none" in error
