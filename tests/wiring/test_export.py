"""An exported run is used as the run is, and is not trained on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from difflab import files
from difflab.cli import main
from difflab.config.compose import compose
from difflab.errors import DifflabError
from difflab.files import file_digest, read_json, write_json
from difflab.runs import directory as runs
from difflab.runs.checkpoints import load_checkpoint, load_model
from difflab.runs.chosen import Chosen, choose
from difflab.runs.directory import Run, read_metrics
from difflab.runs.weights import kept_snapshots, snapshot_path
from tests.made_runs import figure
from tests.wiring.test_errors import Capture, refusal
from tests.wiring.test_sample import sample


@pytest.fixture(scope="module")
def exported(smoke: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("models") / "tiny"
    assert main(["export", f"from={smoke.path}", f"out={out}"]) == 0
    return Run(out)


def test_it_is_small_and_holds_what_a_reader_asks_for(smoke: Run, exported: Run) -> None:
    assert exported.model.stat().st_size < 0.2 * smoke.checkpoint.stat().st_size
    for path in ("metrics.jsonl", "figures.jsonl", "result.json", "samples/reverse.gif"):
        assert (exported.path / path).read_bytes() == (smoke.path / path).read_bytes()
    assert [path.name for path in exported.samples.glob("*.png")] == ["nimg=000002048.png"]
    assert not exported.checkpoint.parent.exists()


def test_its_settings_are_those_of_the_run_without_its_place(smoke: Run, exported: Run) -> None:
    ours, theirs = exported.read_config(), smoke.read_config()
    assert ours.runs == "runs" != theirs.runs
    ours.runs = theirs.runs
    assert ours == theirs
    with safe_open(exported.model, "pt") as opened:
        assert opened.metadata()["config_sha256"] == file_digest(exported.config)


@pytest.fixture
def copy(smoke: Run, tmp_path: Path) -> Run:
    """A run to which a test may add."""
    return Run(Path(shutil.copytree(smoke.path, tmp_path / "run")))


def export(run: Run, name: str, out: Path) -> Run:
    assert main(["export", f"from={run.path / name}", f"out={out}", "half=false"]) == 0
    return Run(out)


def test_a_refused_export_leaves_nothing_behind(copy: Run, tmp_path: Path, capsys: Capture) -> None:
    copy.checkpoint.unlink()
    assert "stopped before its first checkpoint" in refusal(
        capsys, "export", f"from={copy.path}", f"out={tmp_path / 'out'}"
    )
    assert not (tmp_path / "out").exists()


def test_the_best_weights_come_with_what_is_known_of_them(copy: Run, tmp_path: Path) -> None:
    """And not with the figures, the film and the grid of those that came later."""
    average = load_checkpoint(copy.checkpoint)["ema"]
    torch.save({"nimg": 1024, "ema": average, "figure": figure("fd_x", 3.0, nimg=1024)}, copy.best)
    best, last = export(copy, "", tmp_path / "best"), export(copy, "checkpoints/last.ckpt", tmp_path / "last")
    found = read_json(best.result)
    assert ([each["value"] for each in found["figures"]], found["nimg"]) == ([3.0], 1024)
    assert max(row["nimg"] for row in read_metrics(best)) <= 1024
    assert [path.name for path in best.samples.iterdir()] == ["nimg=000001024.png"]
    assert load_model(last.model)["nimg"] == 2048
    assert last.result.read_bytes() == copy.result.read_bytes()


def test_autoguidance_takes_its_snapshot_along(copy: Run, tmp_path: Path) -> None:
    torch.save({"nimg": 512, "ema": load_checkpoint(copy.checkpoint)["ema"]}, snapshot_path(copy, 512))
    words = [f"from={copy.path}", "guidance=autoguidance", "grid.steps=2"]
    choose(copy, compose("sample", words), Chosen("runs/sweeps/x", "fd_x", 1.0, None, 2, 8))
    out = export(copy, "", tmp_path / "out")
    assert list(kept_snapshots(out)) == [512]
    assert np.array_equal(*(sample(run, tmp_path / run.path.name / "drawn", "n=2") for run in (out, copy)))


def test_findings_and_report_go_along(copy: Run, tmp_path: Path) -> None:
    """The newest of a verb, of these weights; the report says nothing of where the run lay."""
    for time, nimg, weights in (("1", 2048, "ema"), ("2", 2048, "ema"), ("3", 1024, "ema"), ("4", 2048, "raw")):
        made = [figure("near_copies", float(time), nimg=nimg, weights=weights)]
        write_json(copy.path / "novelty" / time / "novelty.json", {"words": [f"finding {time}"], "figures": made})
        (copy.path / "novelty" / time / "novelty.png").write_bytes((copy.samples / "nimg=000002048.png").read_bytes())
    out = export(copy, "", tmp_path / "out")
    found = sorted(path.relative_to(out.path) for path in out.path.glob("novelty/*/*"))
    assert found == [Path("novelty/2/novelty.json"), Path("novelty/2/novelty.png")]
    page = (out.path / "report.html").read_text()
    assert "finding 2" in page and "what difflab novelty drew" in page
    assert str(tmp_path) not in page


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
