"""`difflab edit` on a run: every task writes what it says, and on bad input one line and nothing else."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from difflab.cli import main
from difflab.config.compose import compose
from difflab.files import conf_dir, file_digest
from difflab.pixels import save_png
from difflab.rng import generator
from difflab.runs.directory import Run
from tests.conftest import train

TASKS = sorted(path.stem for path in (conf_dir() / "task").glob("*.yaml"))
# What each is given besides its own numbers; its number of results; and what stands on its sheet.
GIVEN: dict[str, tuple[list[str], int, int]] = {
    "colorize": (["image=grey.png"], 1, 2),
    "img2img": (["image=a.png"], 1, 3),
    "inpaint": (["image=a.png", "mask=mask.png"], 1, 3),
    "interpolate": (["frames=3", "sampler=heun"], 3, 3),
    "invert": (["image=a.png"], 1, 3),
    "outpaint": (["image=a.png", "left=4", "bottom=8"], 1, 3),
    "reword": (["image=rgb.png", "label=1"], 1, 3),
    "upscale": (["image=small.png"], 1, 2),
    "variations": (["image=a.png"], 8, 10),
}


@pytest.fixture(scope="module")
def colour(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in colour and of labels, trained for long enough to hear them."""
    return train(
        tmp_path_factory.mktemp("runs"), "condition=label", "guidance=classifier_free", "data=emoji", "net=unet_tiny",
        "data.shape=[3,16,16]", "logger=none", "metrics=none", "callbacks.samples.n=1", "optim.warmup_nimg=0",
        "train.total_nimg=256", "train.batch_size=32", "callbacks.samples.every_nimg=null",
    )  # fmt: skip


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures, to work in."""
    g = generator(0)
    pictures = {"a": (1, 16, 16), "b": (1, 16, 16), "grey": (1, 16, 16), "small": (1, 8, 8), "rgb": (3, 16, 16)}
    for name, shape in pictures.items():
        save_png(tmp_path / f"{name}.png", torch.randint(0, 256, shape, generator=g, dtype=torch.uint8))
    mask = torch.zeros(1, 16, 16, dtype=torch.uint8)
    save_png(tmp_path / "black.png", mask)
    save_png(tmp_path / "white.png", mask + 255)
    mask[:, 4:12, 8:] = 255
    save_png(tmp_path / "mask.png", mask)
    save_png(tmp_path / "wide_mask.png", torch.cat([mask, mask], 2))
    (tmp_path / "words.png").write_text("no picture")
    glass = Image.new("RGBA", (16, 16), (200, 10, 10, 0))
    glass.save(tmp_path / "glass.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(run: Run, *overrides: str) -> dict[str, Any]:
    """edit.json of an edit into out/, which is emptied first."""
    shutil.rmtree("out", ignore_errors=True)
    assert main(["edit", f"from={run.path}", "out=out", *overrides]) == 0
    about: dict[str, Any] = json.loads(Path("out/edit.json").read_text())
    return about


def picture(path: str) -> np.ndarray:
    return np.array(Image.open(path))


def test_all_tasks_are_tried() -> None:
    assert list(GIVEN) == TASKS


@pytest.mark.parametrize("task", TASKS)
def test_task_writes_results_sheet_film_and_protocol(task: str, smoke: Run, colour: Run, desk: Path) -> None:
    given, n, tiles = GIVEN[task]
    about = edit(colour if task in ("colorize", "reword") else smoke, f"task={task}", *given)
    written = {path.name for path in (desk / "out").iterdir()}
    assert written == {*(f"{i:06d}.png" for i in range(n)), "sheet.png", "film.gif", "edit.json"}
    assert about["n"] == n
    assert about["task"].lower().startswith(task)
    assert {"seed", "run", "nimg", "weights", "sampler", "grid", "guidance", "nfe"} <= about.keys()
    named = dict(word.split("=") for word in given if word.endswith(".png"))
    assert about["inputs"] == {k: {"path": path, "sha256": file_digest(desk / path)} for k, path in named.items()}
    assert Image.open("out/film.gif").n_frames == (3 if task in ("interpolate", "img2img", "variations") else 5)
    page = picture("out/sheet.png")
    longer = max(Image.open("out/000000.png").size)
    assert page.shape[1] >= tiles * longer * max(1, round(128 / longer))


def test_kept_pixels_are_the_picture_s_own_and_the_fill_is_new(smoke: Run, desk: Path) -> None:
    edit(smoke, "task=inpaint", "image=a.png", "mask=mask.png", "n=2", "grid=time_travel", "grid.steps=4")
    before, fill, made = picture("a.png"), picture("mask.png") > 0, [picture(f"out/00000{i}.png") for i in range(2)]
    assert all(np.array_equal(m[~fill], before[~fill]) for m in made)
    assert (made[0] != made[1])[fill].any()


def test_film_shows_the_way_and_ends_in_the_results(smoke: Run, desk: Path) -> None:
    edit(smoke, "task=inpaint", "image=a.png", "mask=mask.png", "n=2", "film_frames=2")
    film = Image.open("out/film.gif")
    assert film.n_frames == 3  # the start and 2 of the 4 steps
    film.seek(2)
    tiles = np.concatenate([picture(f"out/00000{i}.png") for i in range(2)], 1).repeat(8, 0).repeat(8, 1)
    assert np.abs(np.array(film.convert("L")).astype(int) - tiles).max() <= 1


def test_strength_0_returns_the_picture_and_strength_1_is_a_sample(smoke: Run, desk: Path) -> None:
    edit(smoke, "task=img2img", "image=a.png", "strength=0")
    assert np.array_equal(picture("out/000000.png"), picture("a.png"))
    edit(smoke, "task=img2img", "image=a.png", "task.strength=1.0", "n=3", "seed=5")
    assert main(["sample", f"from={smoke.path}", "out=sampled", "n=3", "seed=5"]) == 0
    for i in range(3):
        assert np.array_equal(picture(f"out/00000{i}.png"), picture(f"sampled/00000{i}.png"))


def test_results_are_what_is_asked_for(colour: Run, desk: Path) -> None:
    """At strength 1 they are the samples of the label, to the bit."""
    classes, words = colour.read_config().data.classes, "label=[1,2]"
    about = edit(colour, "task=img2img", "image=rgb.png", "strength=1", "n=3", words)
    assert about["words"] == [classes[1], classes[2], classes[1]]
    assert main(["sample", f"from={colour.path}", "out=sampled", "n=3", words]) == 0
    made = [picture(f"out/00000{i}.png") for i in range(3)]
    for i in range(3):
        assert np.array_equal(made[i], picture(f"sampled/00000{i}.png"))
    edit(colour, "task=img2img", "image=rgb.png", "strength=1", "n=3", "label=1")
    assert np.array_equal(made[0], picture("out/000000.png")) and not np.array_equal(made[1], picture("out/000001.png"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["task=img2img", "image=rgb.png", "label=[1,2]"], ["these are 2 things to make", "makes 1", "set n"]),
        (["task=interpolate", "sampler=heun", "label=[1,2]"], ["these are 2 things", "task=interpolate"]),
        (["task=reword", "image=rgb.png", "label=1", "source=flgs"], ["task.source=flgs", "did you mean 'Flags'?"]),
    ],
    ids=lambda x: x[0],
)
def test_words_without_a_result_of_their_own_are_refused(
    words: list[str], said: list[str], colour: Run, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["edit", f"from={colour.path}", "out=out", *words]) == 1
    error = capsys.readouterr().err
    assert all(word in error for word in said), error
    assert not (desk / "out").exists()


def test_an_edit_without_words_is_not_guided_by_them(colour: Run, desk: Path) -> None:
    """Away from the same guess, at twice the cost."""
    task = ("task=img2img", "image=rgb.png", "strength=1", "sampler=ddim", "grid.steps=4")
    about, told = edit(colour, *task), edit(colour, *task, "label=1")
    assert (about["guidance"], about["nfe"]) == ("NoGuidance()", 4)
    assert told["guidance"].startswith("ClassifierFree(") and told["nfe"] == 8


def test_the_same_words_give_the_picture_back(colour: Run, desk: Path) -> None:
    words = ("label=1", f"source='{colour.read_config().data.classes[1]}'", "guidance=none")
    way = ("task=reword", "image=rgb.png", "sampler=heun", "grid=karras", "grid.steps=60")
    about = edit(colour, *way, *words)
    assert about["nfe"] == 119  # of the way down
    assert np.abs(picture("out/000000.png").astype(float) - picture("rgb.png")).mean() < 1
    edit(colour, *way, "label=2", *words[1:])
    assert np.abs(picture("out/000000.png").astype(float) - picture("rgb.png")).mean() > 1


def test_inverted_picture_comes_back(smoke: Run, desk: Path) -> None:
    about = edit(smoke, "task=invert", "image=a.png", "sampler=heun", "grid=karras", "grid.steps=50")
    off = picture("out/000000.png").astype(float) - picture("a.png")
    assert about["figures"]["rms_levels"] == pytest.approx(np.sqrt((off**2).mean()))
    assert about["figures"]["rms_levels"] < 8  # 30 dB


def test_interpolation_begins_and_ends_at_the_samples_of_its_seeds(smoke: Run, desk: Path) -> None:
    edit(smoke, "task=interpolate", "frames=2", "seeds=[3,4]")
    for i, seed in enumerate((3, 4)):
        assert main(["sample", f"from={smoke.path}", f"out=s{seed}", "n=1", f"seed={seed}"]) == 0
        difference = picture(f"out/00000{i}.png").astype(int) - picture(f"s{seed}/000000.png")
        assert np.abs(difference).max() <= 1  # another batch, another kernel


def test_canvas_keeps_the_picture_and_restored_ones_their_means(smoke: Run, colour: Run, desk: Path) -> None:
    edit(smoke, "task=outpaint", "image=a.png", "left=4", "bottom=8")
    assert picture("out/000000.png").shape == (24, 20)
    assert np.array_equal(picture("out/000000.png")[:16, 4:], picture("a.png"))
    edit(smoke, "task=upscale", "image=small.png")
    means = picture("out/000000.png").reshape(8, 2, 8, 2).mean((1, 3))
    assert np.abs(means - picture("small.png")).max() <= 0.5
    edit(colour, "task=colorize", "image=grey.png")
    assert np.abs(picture("out/000000.png").mean(2) - picture("grey.png")).max() <= 0.5


def test_result_i_depends_on_its_seed_and_number_alone(smoke: Run, desk: Path) -> None:
    edit(smoke, "task=variations", "image=a.png", "n=5")
    many = [picture(f"out/00000{i}.png").astype(int) for i in range(5)]
    edit(smoke, "task=variations", "image=a.png", "n=5", "batch=2")
    few = [picture(f"out/00000{i}.png").astype(int) for i in range(5)]
    assert max(np.abs(a - b).max() for a, b in zip(many, few, strict=True)) <= 1


def test_pictures_of_another_size_and_mode_are_taken_where_that_is_asked_for(
    smoke: Run, colour: Run, desk: Path
) -> None:
    edit(smoke, "task=img2img", "image=small.png", "strength=0", "resize=squash")
    assert picture("out/000000.png").shape == (16, 16)
    edit(smoke, "task=img2img", "image=rgb.png", "strength=0", "convert=true")
    assert np.array_equal(picture("out/000000.png"), np.array(Image.open("rgb.png").convert("L")))
    edit(colour, "task=img2img", "image=a.png", "strength=0", "convert=true")
    assert np.array_equal(picture("out/000000.png"), picture("a.png")[..., None].repeat(3, 2))
    save_png(desk / "equal.png", torch.from_numpy(picture("a.png"))[None].expand(3, -1, -1))
    edit(smoke, "task=img2img", "image=equal.png", "strength=0")  # grey, though its file has three channels
    assert np.array_equal(picture("out/000000.png"), picture("a.png"))


def test_nfe_of_the_task_is_counted(smoke: Run, desk: Path) -> None:
    image = ("image=a.png", "sampler=ddim", "grid.steps=8")
    assert edit(smoke, "task=img2img", "strength=0.5", *image)["nfe"] == 4
    assert edit(smoke, "task=outpaint", "right=16", *image)["nfe"] == 8 * 3  # windows at 0, 8 and 16


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], ["task= is missing", "inpaint"]),
        (["task=inpant"], ["task=inpant", "did you mean 'inpaint'?"]),
        (["task=inpaint", "mask=mask.png"], ["task=inpaint needs image="]),
        (["task=inpaint", "image=a.png"], ["task=inpaint needs mask="]),
        (["task=img2img", "image=a.png", "mask=mask.png"], ["mask=mask.png", "no use", "it takes image"]),
        (["task=inpaint", "image=a.png", "mask=wide_mask.png"], ["wide_mask.png is 32x16", "a.png 16x16"]),
        (["task=inpaint", "image=a.png", "mask=black.png"], ["black all over"]),
        (["task=inpaint", "image=a.png", "mask=white.png"], ["white all over", "difflab sample"]),
        (["task=inpaint", "image=a.png", "mask=glass.png"], ["mask=glass.png", "transparent"]),
        (["task=img2img", "image=gone.png"], ["image=gone.png", "no such file"]),
        (["task=img2img", "image=words.png"], ["image=words.png", "can't be read as a picture", "PNG"]),
        (["task=img2img", "image=."], ["image=.", "can't be read as a picture"]),
        (["task=img2img", "image=small.png"], ["small.png is 8x8", "16x16", "resize=crop"]),
        (["task=img2img", "image=rgb.png"], ["image=rgb.png", "colour", "grey", "convert=true"]),
        (["task=img2img", "image=glass.png"], ["image=glass.png", "transparent", "convert=true"]),
        (["task=img2img", "image=a.png", "resize=stretch"], ["resize=stretch", "crop, pad, squash"]),
        (["task=img2img", "image=a.png", "strength=1.5"], ["task.strength=1.5", "0", "1"]),
        (["task=img2img", "image=a.png", "strength=much"], ["task.strength=much", "a number"]),
        (["task=img2img", "image=a.png", "strngth=1"], ["'strngth'", "did you mean 'task.strength'?"]),
        (["task=img2img", "image=a.png", "n=0"], ["n=0", "1 or more"]),
        (["task=img2img", "image=a.png", "n=two"], ["n=two", "whole number"]),
        (["task=img2img", "image=5"], ["image=5", "no such file"]),
        (["task=invert", "image=a.png", "n=2"], ["n=2", "task=invert", "leave n out"]),
        (["task=invert", "image=a.png", "sampler=ddpm"], ["task=invert", "ddpm(", "sampler=heun"]),
        (["task=interpolate", "image=a.png"], ["name both"]),
        (["task=interpolate", "n=4"], ["n=4", "task.frames=16"]),
        (["task=interpolate", "seeds=[1]"], ["task.seeds=[1]", "[0,1]"]),
        (["task=interpolate", "grid=time_travel", "grid.steps=4"], ["task=interpolate", "TimeTravel", "grid=karras"]),
        (["task=reword", "image=a.png", "sampler=heun"], ["task=reword needs prompt= or label="]),
        (["task=reword", "image=a.png", "strength=0"], ["task.strength=0", "above 0"]),
        (["task=outpaint", "image=a.png"], ["task.left=0", "1 or more at one"]),
        (["task=upscale", "image=small.png", "factor=3"], ["task.factor=3", "16x16"]),
        (["task=img2img", "image=a.png", "label=coat"], ["coat"]),
        (["task=colorize", "image=a.png"], ["task=colorize", "grey pictures"]),
        (["task=img2img", "image=a.png", "weights=best"], ["weights=best", "ema"]),
        (["task=img2img", "image=a.png", "film_frames=0"], ["film_frames=0", "1 or more"]),
    ],
    ids=lambda x: " ".join(x),
)
def test_misuse_is_one_line_and_writes_nothing(
    words: list[str], said: list[str], smoke: Run, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name for path in desk.iterdir()}
    assert main(["edit", f"from={smoke.path}", "out=out", *words]) == 1
    error = capsys.readouterr().err
    assert error.startswith("difflab: ")
    assert error.count("\n") == 1, error
    assert all(word in error for word in said), error
    assert {path.name for path in desk.iterdir()} == before


def test_grey_for_a_run_in_colour_is_refused(colour: Run, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edit", f"from={colour.path}", "task=img2img", "image=a.png"]) == 1
    assert "image=a.png is grey, and the task takes colour: set convert=true" in capsys.readouterr().err


def test_missing_run_is_said_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edit", "task=inpaint"]) == 1
    assert "from= is missing" in capsys.readouterr().err


def test_sampler_grid_and_guidance_are_the_run_s_own_unless_named(smoke: Run) -> None:
    own, cfg = smoke.read_config(), compose("edit", [f"from={smoke.path}", "task=img2img", "strength=0.3"])
    assert (cfg.sampler, cfg.grid, cfg.task.strength) == (own.sampler, own.grid, 0.3)
    named = compose("edit", [f"from={smoke.path}", "task=img2img", "guidance=clip", "sampler=ddim"])
    assert named.guidance._target_.endswith("Clip")
