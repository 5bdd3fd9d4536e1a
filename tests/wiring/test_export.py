"""An exported run is used as the run is, and is not trained on."""

import json
from pathlib import Path

import numpy as np
import pytest

from difflab import files
from difflab.cli import main
from difflab.errors import DifflabError
from difflab.runs import directory as runs
from difflab.runs.checkpoints import load_model
from difflab.runs.directory import Run
from tests.wiring.test_errors import Capture, refusal
from tests.wiring.test_sample import sample


@pytest.fixture(scope="module")
def exported(smoke: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("models") / "tiny"
    assert main(["export", f"from={smoke.path}", f"out={out}"]) == 0
    return Run(out)


def test_it_is_small_and_holds_what_a_reader_asks_for(smoke: Run, exported: Run) -> None:
    assert exported.model.stat().st_size < 0.2 * smoke.checkpoint.stat().st_size
    for path in ("config.yaml", "metrics.jsonl", "figures.jsonl", "result.json", "samples/reverse.gif"):
        assert (exported.path / path).read_bytes() == (smoke.path / path).read_bytes()
    assert [path.name for path in exported.samples.glob("*.png")] == ["nimg=000002048.png"]
    assert not exported.checkpoint.parent.exists()


def test_it_samples_as_the_run_does_but_for_the_rounding_of_its_weights(
    smoke: Run, exported: Run, tmp_path: Path
) -> None:
    ours, theirs = (sample(run, tmp_path / name, "n=4").astype(int) for run, name in ((exported, "a"), (smoke, "b")))
    assert np.abs(ours - theirs).max() <= 4
    assert json.loads((tmp_path / "a" / "samples.json").read_text())["nimg"] == 2048


def test_in_whole_precision_it_samples_the_same(smoke: Run, tmp_path: Path) -> None:
    assert main(["export", f"from={smoke.path}", f"out={tmp_path / 'run'}", "half=false"]) == 0
    pictures = [sample(run, tmp_path / name, "n=4") for run, name in ((Run(tmp_path / "run"), "a"), (smoke, "b"))]
    assert np.array_equal(*pictures)


def test_it_has_its_average_alone(exported: Run, tmp_path: Path, capsys: Capture) -> None:
    error = refusal(capsys, "sample", f"from={exported.path}", "weights=raw", f"out={tmp_path / 'out'}")
    assert "weights=raw" in error and "has ema" in error
    assert "without an optimiser" in refusal(capsys, "train", f"resume={exported.path}")


def test_a_folder_in_use_is_left_alone(smoke: Run, exported: Run, capsys: Capture) -> None:
    assert "holds something already" in refusal(capsys, "export", f"from={smoke.path}", f"out={exported.path}")


def test_a_model_that_comes_with_difflab_is_named_and_writes_elsewhere(
    exported: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    home = exported.path.parent
    monkeypatch.setattr(runs, "_models", lambda: home)
    monkeypatch.setattr(runs, "embedded_dir", lambda: home)
    monkeypatch.chdir(tmp_path)
    assert main(["sample", "from=tiny", "n=2"]) == 0
    assert capsys.readouterr().out.startswith("samples: outputs/tiny/sampled/")
    assert "tiny comes with difflab, did you mean 'tiny'?" in refusal(capsys, "sample", "from=tinny")
    assert files.embedded_dir() != home


@pytest.mark.parametrize("content", [b"", b"not safetensors", None])
def test_a_model_that_is_not_whole_is_refused(exported: Run, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(exported.model.read_bytes()[:-100] if content is None else content)
    with pytest.raises(DifflabError, match="is not a whole model"):
        load_model(path)
