"""Power-function averages of a run: kept, resumed, put together, named on the command line, drawn as a curve."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import pytorch_lightning as pl
import torch

from difflab.callbacks.power_ema import PowerEma
from difflab.callbacks.snapshots import passed
from difflab.cli import main
from difflab.denoiser import Denoiser
from difflab.errors import DifflabError
from difflab.runs.checkpoints import load_checkpoint
from difflab.runs.directory import Run, find_run
from difflab.runs.power_weights import kept_powers
from difflab.runs.weights import load_denoiser
from difflab.tracking import Recorder
from tests.conftest import train
from tests.wiring.test_resume import assert_equal, contents, killed_after

Capture = pytest.CaptureFixture[str]
SHORT = (
    "logger=none", "metrics=none", "train.total_nimg=256", "train.batch_size=8", "callbacks.samples.every_nimg=null",
    "callbacks.checkpoint.every_nimg=52", "optim.warmup_nimg=0", "optim.decay=constant",
)  # fmt: skip


def followed(run: Run, length: float) -> dict[str, torch.Tensor]:
    averages: dict[str, torch.Tensor] = contents(run)["power_ema"][length]
    return averages


def assert_close(denoiser: Denoiser, expected: dict[str, torch.Tensor]) -> None:
    for name, parameter in denoiser.named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[name].float(), rtol=1e-6, atol=1e-8)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that has followed more lengths than it needs."""
    return train(tmp_path_factory.mktemp("wide"), *SHORT, "callbacks.power_ema.sigma_rel=[0.03,0.05,0.1,0.15]")


@pytest.fixture(scope="module")
def run(wide: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same run with the lengths of the default alone."""
    copy = Run(Path(shutil.copytree(wide.path, tmp_path_factory.mktemp("runs") / "smoke" / "run")))
    for path in (copy.checkpoint, *kept_powers(copy).values()):
        checkpoint = load_checkpoint(path)
        checkpoint["power_ema"] = {length: checkpoint["power_ema"][length] for length in (0.03, 0.1)}
        torch.save(checkpoint, path)
    return copy


def refusal(capsys: Capture, *arguments: str) -> str:
    capsys.readouterr()
    assert main(list(arguments)) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_a_run_keeps_two_averages_sixteen_times(run: Run) -> None:
    kept = kept_powers(run)
    assert list(kept) == list(range(16, 257, 16))
    assert kept[16].name == "power-nimg=000000016.ckpt"
    last = load_checkpoint(kept[256])["power_ema"]
    assert list(last) == [0.03, 0.1]
    for length, averages in last.items():
        assert {a.dtype for a in averages.values()} == {torch.float16}
        assert_equal(averages, {name: average.half() for name, average in followed(run, length).items()})
    assert kept[16].stat().st_size < run.checkpoint.stat().st_size / 5


def test_a_tracked_length_is_given_back(run: Run) -> None:
    for length in (0.03, 0.1):
        assert_close(load_denoiser(run, f"power:{length}")[0], followed(run, length))


def test_another_length_is_that_which_was_followed(run: Run, wide: Run) -> None:
    raw = dict(load_denoiser(run, "raw")[0].named_parameters())
    for length in (0.05, 0.15):
        made, direct = dict(load_denoiser(run, f"power:{length}")[0].named_parameters()), followed(wide, length)
        apart, far = (sum((b[name] - direct[name]).square().sum() for name in direct) ** 0.5 for b in (made, raw))
        assert apart < 0.06 * far


def test_a_file_is_the_run_at_that_time(run: Run) -> None:
    """The average at 160 images, out of those up to then; the files hold halves."""
    path = kept_powers(run)[160]
    denoiser, checkpoint = load_denoiser(find_run(str(path)), "power:0.1")
    assert checkpoint["nimg"] == 160
    assert_close(denoiser, load_checkpoint(path)["power_ema"][0.1])
    snapshot = run.checkpoint.parent / "snapshot-nimg=000000064.ckpt"
    assert_close(load_denoiser(find_run(str(snapshot)))[0], load_checkpoint(snapshot)["ema"])
    assert find_run(str(run.checkpoint)) == find_run(str(run.path)) == run


@pytest.mark.slow
def test_resumed_run_is_the_same_to_the_bit(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Killed after files that are later than its checkpoint: they are forgotten, and written again."""
    with monkeypatch.context() as patch:
        killed_after(140, patch)
        with pytest.raises(RuntimeError, match="killed"):
            train(tmp_path, *SHORT, "--debug")
    (cut,) = (Run(p) for p in tmp_path.glob("*/*"))
    assert contents(cut)["nimg"] == 104
    assert list(kept_powers(cut))[-1] == 144
    kept_powers(cut)[144].write_text("of another future")
    kept_powers(cut)[144].with_name("power-nimg=000000145.ckpt").write_text("which it will not pass")
    assert main(["train", f"resume={cut.path}"]) == 0
    assert_equal(contents(cut)["power_ema"], contents(run)["power_ema"])
    assert list(kept_powers(cut)) == list(kept_powers(run))
    for nimg, path in kept_powers(run).items():
        assert_equal(load_checkpoint(kept_powers(cut)[nimg]), load_checkpoint(path))
    longer = (f"resume={cut.path}", "train.total_nimg=260", "callbacks.power_ema.sigma_rel=[0.03,0.2]")
    config = cut.config.read_text()
    assert "resume it with callbacks.power_ema.sigma_rel=[0.03,0.1]" in refusal(capsys, "train", *longer)
    assert cut.config.read_text() == config


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("average", ["weights=average", "ema (averaged)", "power:0.08"]),
        ("power", ["weights=power", "weights=power:0.08"]),
        ("power:long", ["weights=power:long", "a share of the run"]),
        ("power:0.4", ["length of 0.4", "0.2887"]),
        ("power:nan", ["length of nan"]),
        ("power:0.005", ["weights=power:0.005", "at 16 points up to 256 images", "0.03, 0.1", "at most 10%"]),
    ],
)
def test_bad_words_are_refused(weights: str, words: list[str], run: Run, tmp_path: Path, capsys: Capture) -> None:
    error = refusal(capsys, "sample", f"from={run.path}", f"weights={weights}", f"out={tmp_path}")
    for word in words:
        assert word in error
    assert not list(tmp_path.iterdir())


def test_what_a_checkpoint_has_not_is_refused(run: Run, tmp_path: Path, capsys: Capture) -> None:
    power, young = kept_powers(run)[160], run.checkpoint.parent / "snapshot-nimg=000000064.ckpt"
    assert "has power:0.08; choose one" in refusal(capsys, "sample", f"from={power}")
    assert "has ema; choose one" in refusal(capsys, "sample", f"from={young}", "weights=raw")
    error = refusal(capsys, "sample", f"from={young}", "weights=power:0.05")
    assert "has no power-function averages" in error
    assert "callbacks.power_ema.sigma_rel=[0.03,0.1]" in error
    error = refusal(capsys, "train", f"resume={power}")
    assert f"write resume={run.path}" in error


@pytest.mark.parametrize("bad", [0.5, "long", 0, None])
def test_lengths_that_cannot_be_tracked_are_refused(bad: Any, tmp_path: Path) -> None:
    with pytest.raises(DifflabError, match=r"share"):
        PowerEma(Recorder(Run(tmp_path)), [0.1, bad], 16)


def test_switched_off_it_keeps_nothing(tmp_path: Path) -> None:
    run, checkpoint, net = Run(tmp_path), {"nimg": 64}, torch.nn.Linear(2, 2)
    module: Any = SimpleNamespace(nimg=64, nimg_before=0, total_nimg=64, stepped=True, denoiser=net)
    power, trainer = PowerEma(Recorder(run), [], 1), MagicMock(spec=pl.Trainer, is_global_zero=True)
    power.on_fit_start(trainer, module)
    power.on_train_batch_end(trainer, module, None, None, 0)
    power.on_save_checkpoint(trainer, module, checkpoint)
    assert (list(tmp_path.iterdir()), checkpoint) == ([], {"nimg": 64})


def test_one_process_of_several_writes_and_forgets(tmp_path: Path) -> None:
    run, net = Run(tmp_path), torch.nn.Linear(2, 2)
    module: Any = SimpleNamespace(nimg=128, nimg_before=64, total_nimg=1024, stepped=True, denoiser=net)
    first, second = (MagicMock(spec=pl.Trainer, is_global_zero=zero) for zero in (True, False))
    power = PowerEma(Recorder(run), [0.1], 8)
    assert passed(power.shares, module)
    power.on_fit_start(first, module)
    power.on_train_batch_end(second, module, None, None, 0)
    assert list(kept_powers(run)) == []
    power.on_train_batch_end(first, module, None, None, 0)
    assert list(kept_powers(run)) == [128]
    saved = {"nimg": 64, "power_ema": {0.1: {}}}
    power.on_load_checkpoint(second, module, saved)
    assert list(kept_powers(run)) == [128]
    power.on_load_checkpoint(first, module, saved)
    assert list(kept_powers(run)) == []
