"""Bad input: one line that names the value, the two parties and the way out; nothing lost."""

import resource
from pathlib import Path

import pytest
import torch

from difflab.cli import main
from difflab.runs.directory import Run
from tests.conftest import train

Capture = pytest.CaptureFixture[str]


def refusal(capsys: Capture, *arguments: str) -> str:
    """The one line with which a command fails."""
    assert main(list(arguments)) == 1
    error = capsys.readouterr().err
    assert error.startswith("difflab: ")
    assert error.count("\n") == 1, error
    return error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "trian.seed=1"], ["'trian.seed'", "did you mean 'train.seed'?"]),
        (["train", "experiment=smok"], ["experiment=smok", "did you mean 'smoke'?", "fashion_cosine"]),
        (["train", "sampler=hein"], ["sampler=hein", "did you mean 'heun'?"]),
        (["train", "train.seed=abc"], ["train.seed=abc", "a whole number"]),
        (["train", "optim.lr=fast"], ["optim.lr=fast", "a number"]),
        (["train", "train.minutes=-3"], ["train.minutes=-3", "above 0"]),
        (["train", "train.minutes=soon"], ["train.minutes=soon", "a number"]),
        (["train", "grid.steps=0"], ["grid.steps=0", "at least 1 step"]),
        (["train", "net._target_=os.system"], ["net._target_=os.system", "may only build"]),
        (["train", "prediction=eps", "grid=uniform_t"], ["'eps' cannot recover x0 at t=1", "'cosine'", "prediction=v"]),
        (["train", "objective=hybrid"], ["objective 'hybrid'", "net.learn_variance=true"]),
        (["train", "net.learn_variance=true"], ["objective 'objective'", "objective=hybrid"]),
        (["train", "sampler=ddpm_learned"], ["variance=learned", "net.learn_variance=true", "posterior"]),
        (
            ["train", "prediction=eps", "weighting=constant", "times=table"],
            ["'eps' cannot be trained at t=1", "prediction=v"],
        ),
        (["train", "schedule=zero_terminal", "schedule.base._target_=difflab.schedules.Rectified"], ["difflab: "]),
        (["train", "sampler=unipc", "sampler.order=9"], ["sampler.order=9", "'unipc'"]),
        (["train", "train.batch_size=0"], ["train.batch_size=0", "1 or more"]),
        (["train", "train.total_nimg=null"], ["train.total_nimg=null", "a whole number"]),
        (["train", "metrics.n=1"], ["metrics.n=1", "2 or more"]),
        (["train", "optim.lr=-1.0"], ["optim.lr=-1.0", "above 0"]),
        (["train", "optim.betas=[0.9]"], ["optim", "betas"]),
        (["train", "trainer.precision=foo"], ["trainer", "foo"]),
        (["train", "trainer=gpu", "trainer.precision=16-mixed"], ["trainer.precision=16-mixed", "take bf16-mixed"]),
        pytest.param(
            ["train", "trainer=gpu"],
            ["trainer=cpu runs anywhere"],
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here"),
        ),
        (["train", "logger.kind=wandbb"], ["logger.kind=wandbb", "wandb, csv"]),
        (["train", "net.width=-8"], ["difflab: "]),
        (["train", "net.patch=3"], ["patch 3", "32x32", "net.patch"]),
        (["train", "net.patch=0"], ["net.patch=0", "1 or more"]),
        (["train", "net=dit_small", "net.patch=0"], ["net.patch=0", "1 or more"]),
        (
            ["train", "net=unet_medium", "net.width=112"],
            ["net.width=112 makes 224 channels at resolution 8", "the 3 heads", "net.attention"],
        ),
        (["train", "[1"], ["'[1' is not an override", "train.seed=1"]),
        (["trian"], ["'trian'", "did you mean 'train'?"]),
        (["train", "--foo"], ["--foo", "--debug"]),
        (["sample", "n=3"], ["from= is missing"]),
        (["sample", "from=nowhere"], ["from=nowhere", "no such run"]),
        (["train", "resume=nowhere"], ["nowhere", "no such run"]),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else None,
)
def test_bad_words_are_refused(arguments: list[str], words: list[str], capsys: Capture, tmp_path: Path) -> None:
    if arguments[0] == "train" and not any("resume" in a or "--" in a for a in arguments):
        arguments = [*arguments, f"runs={tmp_path}", "logger=none"]
    error = refusal(capsys, *arguments)
    for word in words:
        assert word in error
    assert not list(tmp_path.iterdir())


def test_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(tmp_path: Path, capsys: Capture) -> None:
    run = train(tmp_path, "logger=none", "metrics=none", "train.total_nimg=128")
    before = run.checkpoint.read_bytes()
    longer = ("train", f"resume={run.path}", "train.total_nimg=512", "callbacks.checkpoint.every_nimg=512")
    error = refusal(capsys, *longer, "optim.lr=1e30")
    assert "is not finite at step 3" in error
    assert "a lower optim.lr" in error
    assert run.checkpoint.read_bytes() == before
    assert main([*longer, "optim.lr=1e-3"]) == 0


def test_gradient_that_is_not_finite_never_reaches_the_weights(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *a: clip(*a) * float("inf"))
    error = refusal(
        capsys, "train", "experiment=smoke", f"runs={tmp_path}", "logger=none", "metrics=none",
        "callbacks.checkpoint.every_nimg=64",
    )  # fmt: skip
    assert "the gradient is not finite at step 0 (nimg=64)" in error
    assert not list(tmp_path.rglob("*.ckpt"))


def test_full_disk_keeps_the_checkpoint_before(tmp_path: Path, capsys: Capture) -> None:
    off = "callbacks.power_ema.sigma_rel=[]"
    run = train(tmp_path, "logger=none", "metrics=none", "train.total_nimg=128", off)
    before = run.checkpoint.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        error = refusal(capsys, "train", f"resume={run.path}", "train.total_nimg=512")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "make room" in error
    assert run.checkpoint.read_bytes() == before
    assert {p.name for p in run.checkpoint.parent.iterdir()} == {"last.ckpt", "snapshot-nimg=000000064.ckpt"}


def test_folder_that_is_no_run(tmp_path: Path, capsys: Capture) -> None:
    assert "has no config.yaml" in refusal(capsys, "sample", f"from={tmp_path}")


def test_run_without_a_checkpoint(smoke: Run, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "config.yaml").write_bytes(smoke.config.read_bytes())
    assert "stopped before its first checkpoint" in refusal(capsys, "sample", f"from={tmp_path}")


def test_missing_data_folder(tmp_path: Path, capsys: Capture) -> None:
    error = refusal(capsys, "train", "data=folder", f"data.root={tmp_path / 'no'}", f"runs={tmp_path}", "logger=none")
    assert str(tmp_path / "no") in error


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(Exception, match="no such experiment"):
        main(["train", "experiment=smok", "--debug"])
