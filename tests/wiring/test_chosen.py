"""The sampler that a sweep has chosen for a run is its default: used by every verb that samples, said, and undone."""

import json
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from difflab.cli import main
from difflab.config.compose import compose
from difflab.runs.chosen import Chosen, choose, chosen_by
from difflab.runs.directory import Run

Capture = pytest.CaptureFixture[str]
BY = Chosen("runs/sweeps/samplers-x", "fd_rows", 12.5, 0.5, 5, 256)
LINE = "sampler: heun() in 5 evaluations (chosen by runs/sweeps/samplers-x; sampler=trained: that of training)\n"


@pytest.fixture(scope="module")
def run(smoke: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run for which heun in three steps was chosen; it was trained with dpmpp_2m in four."""
    copy = Run(Path(shutil.copytree(smoke.path, tmp_path_factory.mktemp("runs") / "smoke" / "run")))
    choose(copy, compose("sample", [f"from={copy.path}", "sampler=heun", "grid.steps=3"]), BY)
    return copy


def protocol(run: Run, out: Path, *overrides: str) -> dict[str, object]:
    """How two samples were made."""
    assert main(["sample", f"from={run.path}", "n=2", f"out={out}", *overrides]) == 0
    return json.loads((out / "samples.json").read_text())


def test_the_file_says_what_and_by_what(run: Run) -> None:
    found = OmegaConf.load(run.sampler)
    assert found.sampler._target_ == "difflab.samplers.heun"
    assert (found.grid.steps, found.grid._target_) == (3, "difflab.grids.Karras")
    assert found.guidance._target_ == "difflab.guidance.NoGuidance"
    assert dict(found.chosen) == {
        "by": "runs/sweeps/samplers-x", "figure": "fd_rows", "value": 12.5, "error": 0.5, "nfe": 5, "n": 256,
    }  # fmt: skip
    assert chosen_by(run) == BY


def test_it_is_sampled_with_and_said(run: Run, tmp_path: Path, capsys: Capture) -> None:
    made = protocol(run, tmp_path)
    assert (made["sampler"], made["nfe"]) == ("heun()", 5)
    assert capsys.readouterr().out.startswith(LINE)


@pytest.mark.parametrize(
    ("overrides", "sampler", "nfe", "said"),
    [
        (["sampler=trained"], "dpmpp_2m()", 4, None),
        (["sampler=ddim"], "ddim(eta=0.0)", 4, None),  # with the run's own grid
        (["sampler=trained", "nfe=2"], "dpmpp_2m()", 2, None),
        (["grid.steps=2"], "heun()", 3, "sampler: heun() (chosen by"),
        (["nfe=10"], "heun()", 9, "sampler: heun() (chosen by"),
        (["guidance=clip"], "heun()", 5, "sampler: heun() (chosen by"),
    ],
)
def test_what_is_named_counts_more(
    run: Run, overrides: list[str], sampler: str, nfe: int, said: str | None, tmp_path: Path, capsys: Capture
) -> None:
    made = protocol(run, tmp_path, *overrides)
    assert (made["sampler"], made["nfe"]) == (sampler, nfe)
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith(said) if said else not first.startswith("sampler:")


def test_other_verbs_take_it_and_training_does_not(run: Run) -> None:
    chosen = run.read_config().sampler._target_
    assert chosen == "difflab.samplers.dpmpp_2m"
    for verb in ("evaluate", "novelty", "explain"):
        assert compose(verb, [f"from={run.path}"]).sampler._target_ == "difflab.samplers.heun", verb
        assert compose(verb, [f"from={run.path}", "sampler=trained"]).sampler._target_ == chosen, verb
    assert compose("train", [f"resume={run.path}"]).sampler._target_ == chosen


def test_without_the_file_it_is_as_before(run: Run, smoke: Run, tmp_path: Path, capsys: Capture) -> None:
    assert protocol(smoke, tmp_path)["sampler"] == "dpmpp_2m()"
    assert "sampler:" not in capsys.readouterr().out


def test_a_broken_file_says_how_to_go_on(smoke: Run, tmp_path: Path, capsys: Capture) -> None:
    copy = Run(Path(shutil.copytree(smoke.path, tmp_path / "smoke" / "run")))
    copy.sampler.write_text("sampler: [")
    assert main(["sample", f"from={copy.path}"]) == 1
    error = capsys.readouterr().err
    assert f"{copy.sampler} can't be read" in error
    assert "delete it" in error


def test_two_words_for_the_number_of_steps_are_refused(run: Run, capsys: Capture) -> None:
    assert main(["sample", f"from={run.path}", "grid.steps=3", "nfe=5"]) == 1
    assert "grid.steps=3 and nfe=5 both set the number of steps" in capsys.readouterr().err
    assert main(["sample", f"from={run.path}", "nfe=0"]) == 1
    assert "nfe=0: it is a whole number, 1 or more" in capsys.readouterr().err
