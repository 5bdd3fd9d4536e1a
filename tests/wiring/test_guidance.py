"""Guidance from the command line, and the snapshots of a run that autoguidance needs."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from difflab import assemble
from difflab.callbacks.ema import EmaWeights
from difflab.callbacks.snapshots import KeptAverages
from difflab.cli import main
from difflab.config.compose import compose
from difflab.errors import DifflabError
from difflab.files import conf_dir
from difflab.runs.checkpoints import load_checkpoint
from difflab.runs.directory import Run
from difflab.runs.weights import kept_snapshots, load_denoiser, load_snapshot, snapshots_of
from difflab.tracking import Recorder
from tests.conftest import train
from tests.wiring.test_errors import refusal
from tests.wiring.test_resume import assert_equal, contents, killed_after
from tests.wiring.test_sample import sample

# classifier_free needs a run with a condition: test_label.py.
OPTIONS = sorted({p.stem for p in (conf_dir() / "guidance").glob("*.yaml")} - {"classifier_free"})
NAMES = {
    "none": "NoGuidance()",
    "autoguidance": "Autoguidance(scale=1.5, interval=[0.0, inf], rescale=0.0, snapshot=512)",
    "clip": "Clip(low=-1.0, high=1.0)",
    "dynamic_threshold": "DynamicThreshold(quantile=0.995)",
}
SHORT = (
    "logger=none",
    "metrics=none",
    "callbacks.samples.every_nimg=null",
    "callbacks.power_ema.sigma_rel=[]",
    "train.batch_size=8",
    "train.total_nimg=64",
)
Capture = pytest.CaptureFixture[str]


def protocol(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "samples.json").read_text())


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_makes_pictures_and_names_itself(option: str, smoke: Run, tmp_path: Path) -> None:
    pictures = sample(smoke, tmp_path, "n=4", f"guidance={option}")
    assert pictures.shape == (4, 16, 16)
    assert protocol(tmp_path)["guidance"] == NAMES[option]
    assert protocol(tmp_path)["nfe"] == (8 if option == "autoguidance" else 4)


def test_scale_1_makes_the_pictures_of_no_guidance(smoke: Run, tmp_path: Path) -> None:
    plain = sample(smoke, tmp_path / "plain", "n=4")
    scales = {s: sample(smoke, tmp_path / s, "n=4", "guidance=autoguidance", f"guidance.scale={s}") for s in ("1", "3")}
    assert np.array_equal(scales["1"], plain)
    assert not np.array_equal(scales["3"], plain)
    assert (protocol(tmp_path / "1")["nfe"], protocol(tmp_path / "3")["nfe"]) == (4, 8)


def test_an_interval_is_written_on_the_command_line(smoke: Run, tmp_path: Path) -> None:
    sample(smoke, tmp_path, "n=1", "guidance=autoguidance", "guidance.interval=[0.3,2]", "grid=logsnr")
    assert "interval=[0.3, 2]" in protocol(tmp_path)["guidance"]
    assert 20 < protocol(tmp_path)["nfe"] < 40


def test_figures_name_the_guidance(smoke: Run, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    assert main(["evaluate", f"from={smoke.path}", "n=16", f"out={out}", "guidance=autoguidance"]) == 0
    made = json.loads(out.read_text())["figures"][0]["protocol"]
    assert (made["guidance"], made["nfe"]) == (NAMES["autoguidance"], 8)
    assert json.loads(smoke.result.read_text())["figures"][0]["protocol"]["guidance"] == "NoGuidance()"


@pytest.fixture(scope="module")
def clipped(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that was trained with a guidance and kept no snapshot."""
    clip = ("guidance=clip", "guidance.high=0.5", "callbacks.snapshots.at=[]")
    return train(tmp_path_factory.mktemp("runs"), *SHORT, *clip)


def test_a_run_trained_with_guidance_hands_it_on(clipped: Run, tmp_path: Path) -> None:
    sample(clipped, tmp_path / "own", "n=1")
    assert protocol(tmp_path / "own")["guidance"] == "Clip(low=-1.0, high=0.5)"
    sample(clipped, tmp_path / "none", "n=1", "guidance=none")
    assert protocol(tmp_path / "none")["guidance"] == "NoGuidance()"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["guidance=clipp"], ["guidance=clipp", "did you mean 'clip'?", "classifier_free, clip"]),
        (["guidance=autoguidance", "guidance.scale=strong"], ["guidance.scale=strong", "a number"]),
        (["guidance=autoguidance", "guidance.snapshot=100"], ["guidance.snapshot=100", "the snapshots 512"]),
        (["guidance=autoguidance", "guidance.snapshot=first"], ["guidance.snapshot=first", "images seen"]),
        (["guidance=autoguidance", "guidance.interval=[2.0,0.3]"], ["guidance.interval=[2.0, 0.3]", "[0.3,2.0]"]),
        (["guidance=autoguidance", "guidance.interval=[low,high]"], ["guidance.interval=['low', 'high']"]),
        (["guidance=autoguidance", "guidance.rescale=2.0"], ["guidance.rescale=2.0", "0 (off) to 1"]),
        (["guidance=autoguidance", "guidance.weight=2.0"], ["guidance.weight"]),
        (["guidance=clip", "guidance.low=2.0"], ["guidance.low=2.0", "guidance.high=1.0"]),
        (["guidance=dynamic_threshold", "guidance.quantile=99.5"], ["guidance.quantile=99.5", "0.995"]),
    ],
    ids=lambda x: x[-1],
)
def test_bad_words_are_refused(
    overrides: list[str], words: list[str], smoke: Run, tmp_path: Path, capsys: Capture
) -> None:
    error = refusal(capsys, "sample", f"from={smoke.path}", f"out={tmp_path}", *overrides)
    for word in words:
        assert word in error
    assert not list(tmp_path.iterdir())


def test_autoguidance_of_a_run_without_snapshots_is_refused(clipped: Run, capsys: Capture) -> None:
    assert [p.name for p in clipped.checkpoint.parent.iterdir()] == ["last.ckpt"]
    error = refusal(capsys, "sample", f"from={clipped.path}", "guidance=autoguidance")
    assert "has no snapshot" in error
    assert "callbacks.snapshots.at=[0.25]" in error


def test_training_with_autoguidance_is_refused(tmp_path: Path, capsys: Capture) -> None:
    error = refusal(capsys, "train", "experiment=smoke", f"runs={tmp_path}", *SHORT, "guidance=autoguidance")
    assert "difflab sample from=RUN guidance=autoguidance" in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("at", [[0.5, 1.5], [0.0], ["half"]])
def test_snapshots_outside_the_run_are_refused(at: list[Any], tmp_path: Path) -> None:
    with pytest.raises(DifflabError, match=r"callbacks.snapshots.at=\[.*\]: shares of the run between 0 and 1"):
        KeptAverages(EmaWeights(100), Recorder(Run(tmp_path)), at)


def test_a_broken_snapshot_is_refused(smoke: Run, tmp_path: Path, capsys: Capture) -> None:
    run = Run(Path(shutil.copytree(smoke.path, tmp_path / "run")))
    (path,) = kept_snapshots(run).values()
    path.write_bytes(path.read_bytes()[:1000])
    error = refusal(capsys, "sample", f"from={run.path}", "guidance=autoguidance")
    assert f"{path} (1,000 bytes) is not a whole checkpoint" in error


def test_a_snapshot_is_the_average_of_that_moment(tmp_path: Path) -> None:
    """Of 64 images, 8 a step: the second step passes 0.2, the last one 0.99."""
    run = train(tmp_path, *SHORT, "callbacks.snapshots.at=[0.2,0.99]")
    kept = kept_snapshots(run)
    assert [(nimg, path.name) for nimg, path in kept.items()] == [
        (16, "snapshot-nimg=000000016.ckpt"), (64, "snapshot-nimg=000000064.ckpt"),
    ]  # fmt: skip
    assert {p.name for p in run.checkpoint.parent.iterdir()} == {"last.ckpt", *(p.name for p in kept.values())}
    assert kept[16].stat().st_size < run.checkpoint.stat().st_size / 3
    assert_equal(load_checkpoint(kept[64])["ema"], contents(run)["ema"])
    assert_equal(load_snapshot(run, 64)[1].state_dict(), load_denoiser(run)[0].state_dict())
    nimg, weak = load_snapshot(run, None)
    assert (nimg, weak.training) == (16, False)
    assert_equal(dict(weak.named_parameters()), load_checkpoint(kept[16])["ema"])


@pytest.mark.slow
def test_a_resumed_run_has_the_same_snapshots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after a snapshot that is later than its checkpoint: this one is forgotten, and written again."""
    overrides = (*SHORT, "callbacks.checkpoint.every_nimg=24", "callbacks.snapshots.at=[0.25,0.6]")
    whole = train(tmp_path / "whole", *overrides)
    with monkeypatch.context() as patch:
        killed_after(32, patch)
        with pytest.raises(RuntimeError, match="killed"):
            train(tmp_path / "cut", *overrides, "--debug")
    (cut,) = (Run(p) for p in (tmp_path / "cut").glob("*/*"))
    assert contents(cut)["nimg"] == 24
    assert list(kept_snapshots(cut)) == [16, 40]
    kept_snapshots(cut)[40].write_text("of another future")
    assert main(["train", f"resume={cut.path}"]) == 0
    assert list(kept_snapshots(cut)) == list(kept_snapshots(whole)) == [16, 40]
    for nimg, path in kept_snapshots(whole).items():
        assert_equal(load_checkpoint(kept_snapshots(cut)[nimg]), load_checkpoint(path))


def test_one_process_of_several_writes_and_forgets(tmp_path: Path) -> None:
    run, net = Run(tmp_path), torch.nn.Linear(2, 2)
    module: Any = SimpleNamespace(nimg=128, nimg_before=64, total_nimg=1024, stepped=True, denoiser=net)
    first, second = (MagicMock(spec=pl.Trainer, is_global_zero=zero) for zero in (True, False))
    ema = EmaWeights(100)
    ema.on_fit_start(first, module)
    kept = KeptAverages(ema, Recorder(run), [0.125])
    kept.on_train_batch_end(second, module, None, None, 0)
    assert list(kept_snapshots(run)) == []
    kept.on_train_batch_end(first, module, None, None, 0)
    assert list(kept_snapshots(run)) == [128]
    kept.on_load_checkpoint(second, module, {"nimg": 64})
    assert list(kept_snapshots(run)) == [128]
    kept.on_load_checkpoint(first, module, {"nimg": 64})
    assert list(kept_snapshots(run)) == []


@pytest.mark.parametrize("option", OPTIONS)
def test_picture_does_not_depend_on_its_batch(option: str, smoke: Run) -> None:
    """Of the network, to 1e-5: the convolution kernels differ by batch size, the noise does not."""
    cfg = smoke.read_config()
    cfg.guidance = compose("train", [f"guidance={option}"]).guidance
    generation = assemble.generation(cfg, snapshots_of(smoke, torch.device("cpu")))
    denoiser, _ = load_denoiser(smoke)
    with torch.inference_mode():
        *_, alone = generation.steps(denoiser, 0, [5])
        *_, many = generation.steps(denoiser, 0, range(16))
    torch.testing.assert_close(alone.x[0], many.x[5], rtol=1e-5, atol=1e-5)
