"""An autoencoder's run, and runs on its latents, from end to end."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from difflab import assemble
from difflab.cli import main
from difflab.config.compose import compose
from difflab.data.image_data import from_config
from difflab.files import conf_dir
from difflab.latents.opened import codec_of
from difflab.latents.settings import trains_autoencoder
from difflab.latents.train import untrained as untrained_autoencoder
from difflab.pixels import save_png, to_uint8
from difflab.psnr import psnr, squared_errors
from difflab.rng import generator
from difflab.runs.directory import Run, read_metrics
from difflab.runs.weights import load_denoiser
from difflab.train import untrained
from tests.conftest import train
from tests.core.test_latents import kl_folder
from tests.wiring.test_errors import Capture, refusal
from tests.wiring.test_resume import assert_equal, contents

QUIET = ("logger=none", "metrics=none", "callbacks.film.at=[]", "callbacks.samples.n=4")
NARROW = (
    "objective=reconstruction",
    "objective.autoencoder.width=8",
    "objective.autoencoder.multipliers=[1,2]",
    "optim.warmup_nimg=1",
    "train.batch_size=16",
    *QUIET,
)


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tmp_path_factory.mktemp("autoencoders"), *NARROW, "train.total_nimg=512")


@pytest.fixture(scope="module")
def latent(autoencoder: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on latents whose autoencoder's run is gone since."""
    copy = tmp_path_factory.mktemp("gone") / "autoencoder"
    shutil.copytree(autoencoder.path, copy)
    run = train(tmp_path_factory.mktemp("runs"), *on(Run(copy)), "train.total_nimg=512", "optim.decay=constant")
    shutil.rmtree(copy)
    return run


def on(autoencoder: Run) -> tuple[str, ...]:
    return ("latent=autoencoder", f"latent.from={autoencoder.path}", *QUIET)


def test_an_autoencoder_learns_and_says_how_well_it_gives_pictures_back(autoencoder: Run) -> None:
    (figure,) = json.loads(autoencoder.result.read_text())["figures"]
    assert figure["name"] == "reconstruction_psnr" and figure["value"] > 10
    assert figure["protocol"]["pictures"] == "fashion_mini/val" and figure["protocol"]["n"] == 2000
    losses = [row["train/mse"] for row in read_metrics(autoencoder) if "train/mse" in row]
    assert losses[-1] < losses[0]
    for row in (row for row in read_metrics(autoencoder) if "train/mse" in row):
        made = row["train/mse"] + 1e-4 * row["train/nats_per_dim"]
        assert row["train/loss"] == pytest.approx(made)
    assert Image.open(autoencoder.samples / "nimg=000000512.png").size == (2 * 2 * 2 * 16, 2 * 2 * 16)
    assert (autoencoder.path / "report.html").is_file()


@pytest.mark.slow
def test_a_resumed_autoencoder_is_the_same_to_the_bit(autoencoder: Run, tmp_path: Path) -> None:
    flat = "optim.decay=constant"
    whole = train(tmp_path / "whole", *NARROW, flat, "train.total_nimg=256")
    half = train(tmp_path / "half", *NARROW, flat, "train.total_nimg=128")
    assert main(["train", f"resume={half.path}", "train.total_nimg=256"]) == 0
    for key in ("state_dict", "optimizer_states", "nimg"):
        assert_equal(contents(half)[key], contents(whole)[key], key)


def test_a_run_on_latents_carries_its_autoencoder(latent: Run, autoencoder: Run, tmp_path: Path) -> None:
    cfg = latent.read_config()
    assert list(cfg.latent.shape) == list(cfg.net.shape) == [4, 8, 8] and cfg.prediction.sigma_data == 1.0
    assert main(["sample", f"from={latent.path}", f"out={tmp_path}", "n=3"]) == 0
    assert Image.open(tmp_path / "000002.png").size == (16, 16)
    codec = codec_of(latent)
    assert codec is not None
    assert json.loads((tmp_path / "samples.json").read_text())["latent"] == codec.name
    state = contents(autoencoder)["state_dict"]
    for name, tensor in codec.autoencoder.state_dict().items():
        assert torch.equal(tensor, state[f"objective.autoencoder.{name}"])


@pytest.mark.slow
def test_an_exported_run_takes_its_autoencoder_along(latent: Run, tmp_path: Path) -> None:
    assert main(["export", f"from={latent.path}", f"out={tmp_path / 'given'}"]) == 0
    assert main(["sample", f"from={tmp_path / 'given'}", f"out={tmp_path / 'out'}", "n=1"]) == 0
    assert Image.open(tmp_path / "out" / "000000.png").size == (16, 16)


def test_a_picture_does_not_depend_on_its_batch(latent: Run) -> None:
    generation, (denoiser, _) = (
        assemble.generation(latent.read_config()).decoding(codec_of(latent)),
        load_denoiser(latent),
    )
    many, one = generation.batch(denoiser, 0, range(8)), generation.batch(denoiser, 0, [5])
    assert (many[5].int() - one[0].int()).abs().max() <= 1  # a rounding of 1e-5


@pytest.mark.slow
def test_a_resumed_run_on_latents_is_the_same_to_the_bit(latent: Run, autoencoder: Run, tmp_path: Path) -> None:
    half = train(tmp_path, *on(autoencoder), "train.total_nimg=256", "optim.decay=constant")
    assert main(["train", f"resume={half.path}", "train.total_nimg=512"]) == 0
    for key in ("state_dict", "ema", "optimizer_states"):
        assert_equal(contents(half)[key], contents(latent)[key], key)


@pytest.mark.slow
def test_figures_are_of_pictures_and_name_the_autoencoder(latent: Run, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    command = ["evaluate", f"from={latent.path}", "metrics=efficientnet_lite0", "metrics.reference_n=64", "n=8"]
    assert main([*command, "figures=fast", "floor=false", f"out={out}"]) == 0
    (figure, *_) = json.loads(out.read_text())["figures"]
    codec = codec_of(latent)
    assert codec is not None and figure["protocol"]["latent"] == codec.name


def test_the_experiments_compose_and_keep_their_claims(tmp_path: Path) -> None:
    folder = kl_folder(tmp_path, channels=3)
    for name, words in {
        "emoji_autoencoder": [],
        "emoji_latent": ["latent=autoencoder_kl", f"latent.folder={folder}"],
    }.items():
        text = (conf_dir() / "experiment" / f"{name}.yaml").read_text().splitlines()
        assert len(text) <= 25 and text[1].startswith("# ")
        cfg = compose("train", [f"experiment={name}", *words])
        module = (untrained_autoencoder if trains_autoencoder(cfg) else untrained)(cfg)
        loss = module.loss_of({"x0": torch.zeros(2, *cfg.latent.shape)}, generator(0)).per_sample.mean()
        loss.backward()
        assert torch.isfinite(loss)


@pytest.mark.slow
def test_a_folder_of_diffusers_is_trained_on(tmp_path: Path) -> None:
    folder = kl_folder(tmp_path / "vae")
    run = train(
        tmp_path / "runs", "latent=autoencoder_kl", f"latent.folder={folder}", *QUIET, "train.total_nimg=64",
        "callbacks.samples.every_nimg=null",
    )  # fmt: skip
    shutil.rmtree(folder)
    assert list(run.read_config().latent.shape) == [3, 8, 8]
    assert main(["sample", f"from={run.path}", f"out={tmp_path / 'out'}", "n=1"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["latent=autoencoder"], ["latent.from= is missing", "experiment=emoji_autoencoder"]),
        (["latent=autoencoder", "latent.from=nowhere"], ["latent.from=nowhere", "no such run"]),
        (["latent=autoencoder", "latent.from={smoke}"], ["is no autoencoder", "objective=reconstruction"]),
        (["latent=autoencoder", "latent.from={own}", "data.shape=[1,32,32]"], ["[1, 16, 16]", "[1, 32, 32]"]),
        (["latent=autoencoder", "latent.from={own}", "condition=image"], ["condition=image", "latent=none"]),
        (["latent=autoencoder", "latent.from={own}", "objective=reconstruction"], ["trained on pixels", "latent=none"]),
        (
            ["latent=autoencoder", "latent.from={own}", "objective=hybrid", "net.learn_variance=true"],
            ["objective=hybrid with latent=autoencoder", "likelihood of pixels", "set objective=simple"],
        ),
        (
            ["latent=autoencoder", "latent.from={own}", "guidance=clip"],
            ["guidance=clip with latent=autoencoder", "the range of pixels", "set guidance=none"],
        ),
        (
            ["latent=autoencoder", "latent.from={own}", "guidance=dynamic_threshold"],
            ["guidance=dynamic_threshold with latent=autoencoder", "set guidance=none"],
        ),
        (["latent=autoencoder_kl"], ["latent.folder= is missing"]),
        (["latent=autoencoder_kl", "latent.folder=nowhere"], ["latent.folder=nowhere", "can't be read"]),
        (["latent=vqgan"], ["latent=vqgan", "autoencoder_kl"]),
        (["objective=reconstruction", "data.shape=[1,18,18]"], ["divides pictures by 4", "18x18"]),
    ],
    ids=" ".join,
)
def test_what_cannot_be_trained_is_refused(
    words: list[str], message: list[str], smoke: Run, autoencoder: Run, tmp_path: Path, capsys: Capture
) -> None:
    words = [word.format(smoke=smoke.path, own=autoencoder.path) for word in words]
    error = refusal(capsys, "train", "experiment=smoke", f"runs={tmp_path}", "logger=none", *words)
    assert all(part in error for part in message), error
    assert not list(tmp_path.iterdir())


def test_a_configuration_file_takes_another_autoencoder_with_latents_of_the_same_shape(
    latent: Run, autoencoder: Run, smoke: Run, tmp_path: Path, capsys: Capture
) -> None:
    file = f"config={latent.config}"
    assert compose("train", [file, f"latent.from={autoencoder.path}"]).latent["from"] == str(autoencoder.path)
    assert "is no autoencoder" in refusal(capsys, "train", file, f"latent.from={smoke.path}")
    assert "no such run" in refusal(capsys, "train", file)  # the one of the file is gone
    other, cfg = Run(tmp_path / "other"), autoencoder.read_config()
    cfg.objective.autoencoder.channels = 2
    other.write_config(cfg)
    error = refusal(capsys, "train", file, f"latent.from={other.path}")
    assert "has a network for latents of [4, 8, 8]" in error and "[2, 8, 8]" in error


def test_a_resumed_run_keeps_its_latents(latent: Run, autoencoder: Run, capsys: Capture) -> None:
    error = refusal(capsys, "train", f"resume={latent.path}", f"latent.from={autoencoder.path}")
    assert "goes on with the latents it began with" in error


def edited(run: Run, folder: Path, *words: str) -> list[UInt8[Tensor, "c h w"]]:
    """The results."""
    assert main(["edit", f"from={run.path}", f"out={folder}", "image=a.png", *words]) == 0
    return [pil_to_tensor(Image.open(path)) for path in sorted(folder.glob("0*.png"))]


def test_pictures_are_edited_by_a_run_on_latents(latent: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    image = from_config(latent.read_config().data, 1, 0).val.pixels[0]
    hole = torch.zeros(1, 16, 16, dtype=torch.uint8)
    hole[:, 5:12, 5:12] = 255
    save_png(tmp_path / "a.png", image)
    save_png(tmp_path / "hole.png", hole)
    (filled,) = edited(latent, tmp_path / "filled", "task=inpaint", "mask=hole.png")
    assert torch.equal(filled[hole == 0], image[hole == 0])
    assert not torch.equal(filled, image)
    codec = codec_of(latent)
    assert codec is not None
    with torch.inference_mode():
        back = to_uint8(codec.decode(codec.encode(image[None])))[0]
    (same,) = edited(latent, tmp_path / "same", "task=img2img", "strength=0")
    assert torch.equal(same, back)
    assert json.loads((tmp_path / "same" / "edit.json").read_text())["latent"] == codec.name
    assert len(edited(latent, tmp_path / "way", "task=interpolate", "to=a.png", "frames=3", "sampler=heun")) == 3
    edited(latent, tmp_path / "inverted", "task=invert", "sampler=heun", "grid.steps=20")
    psnr_db = json.loads((tmp_path / "inverted" / "edit.json").read_text())["figures"]["psnr_db"]
    assert psnr_db == pytest.approx(psnr(squared_errors(back[None], image[None]).item()), abs=1)


def test_verbs_that_need_pixels_refuse_latents(latent: Run, autoencoder: Run, tmp_path: Path, capsys: Capture) -> None:
    assert "a density of pixels" in refusal(capsys, "likelihood", f"from={latent.path}")
    for words in (("task=outpaint", "left=4"), ("task=upscale",), ("task=colorize",)):
        error = refusal(capsys, "edit", f"from={latent.path}", *words)
        assert f"{words[0]} knows what is measured of pixels, and this run's network sees latents" in error
    assert "draws what becomes of pixels" in refusal(capsys, "explain", f"from={latent.path}")
    assert "makes no pictures of its own" in refusal(capsys, "sample", f"from={autoencoder.path}")
    for verb, words in (("sample", ()), ("evaluate", ("n=8",))):
        error = refusal(capsys, verb, f"from={latent.path}", *words, "guidance=clip")
        assert "guidance=clip with latent=autoencoder: it keeps guesses in the range of pixels" in error
    torn = tmp_path / "torn"
    shutil.copytree(latent.path, torn)
    Run(torn).codec.unlink()
    assert "codec.safetensors can't be read" in refusal(capsys, "sample", f"from={torn}", "n=1")
