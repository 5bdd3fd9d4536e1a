"""`difflab explain` writes pictures that open and numbers that are right, with and without a run; nothing on misuse."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from difflab import assemble
from difflab.cli import main
from difflab.config.compose import compose
from difflab.config.instantiate import build
from difflab.files import conf_dir
from difflab.pictures.album import PAGES
from difflab.pictures.weight import density
from difflab.runs.directory import Run
from difflab.runs.weights import load_denoiser
from tests.conftest import train

FILMS = ("forward", "reverse")
SMALL = ("n=2", "measured=4", "by_heart=20", "frames=3", "steps=20", "at=[5,10]")
NO_RUN = (*SMALL, "data.shape=[1,16,16]", "grid.steps=4")


DENSITY = ("schedule/cosine", "times/uniform")  # the defaults


def explain(out: Path, *overrides: str) -> dict[str, Any]:
    """The numbers of explain.json."""
    assert main(["explain", f"out={out}", *overrides]) == 0
    numbers: dict[str, Any] = json.loads((out / "explain.json").read_text())
    return numbers


def options(group: str) -> list[str]:
    return sorted(p.stem for p in (conf_dir() / group).glob("*.yaml"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Without a run, the thousand steps as they are shipped and everything else small."""
    out = tmp_path_factory.mktemp("explain")
    small = ("n=2", "measured=4", "by_heart=20", "frames=3", "data.shape=[1,16,16]", "grid.steps=12")
    return out, explain(out, *small)


def test_every_picture_opens_and_is_as_large_as_what_it_shows(drawn: tuple[Path, dict[str, Any]]) -> None:
    """A tile of 16x16 is 128 pixels wide, with 8 between two: 9 columns, and 24 at each margin. Words may be wider."""
    out, numbers = drawn
    written = {*(f"{name}.png" for name in PAGES), *(f"{name}.gif" for name in FILMS), "explain.json"}
    assert {path.name for path in out.iterdir()} == written
    assert len(numbers["forward"]["columns"]) == len(numbers["reverse"]["columns"]) == 9
    assert Image.open(out / "forward.png").size == (9 * 136 + 48, 104 + 4 * 25 + 8 + 2 * 136 + 24)
    width, height = Image.open(out / "reverse.png").size
    assert width >= 9 * 136 + 48 + 90
    assert height == 104 + 4 * 25 + 8 + 4 * 136 + 16 + 24
    for name in PAGES:
        page = np.array(Image.open(out / f"{name}.png"))
        assert page.shape[2] == 3
        assert 0.02 < (page.mean(2) < 250).mean() < 0.98, name  # neither blank nor black


def test_films_have_as_many_frames_as_asked_for(drawn: tuple[Path, dict[str, Any]]) -> None:
    out, numbers = drawn
    for name in FILMS:
        assert Image.open(out / f"{name}.gif").n_frames == 3 == len(numbers[name]["film"])


def test_numbers_of_the_levels_are_the_closed_form(drawn: tuple[Path, dict[str, Any]]) -> None:
    _, numbers = drawn
    level = next(level for level in numbers["guesses"]["levels"] if level["step"] == 497)
    assert level["t"] == 0.497
    for level in [*numbers["guesses"]["levels"], *numbers["markov"]["levels"][:-1], *numbers["schedule"]["at"]]:
        angle = level["step"] / 1000 * math.pi / 2
        assert level["alpha"] == pytest.approx(math.cos(angle), abs=1e-15)
        assert level["sigma"] == pytest.approx(math.sin(angle), rel=1e-15)
        assert level["logsnr"] == pytest.approx(-2 * math.log(math.tan(angle)), abs=1e-9)
    clean, *_, noise = numbers["forward"]["columns"]
    assert (clean["alpha"], clean["sigma"], clean["logsnr"]) == (1, 0, None)
    assert (noise["step"], noise["alpha"], noise["sigma"]) == (1000, pytest.approx(0, abs=1e-15), 1)


def test_chain_is_as_far_from_the_closed_form_as_chance_allows(drawn: tuple[Path, dict[str, Any]]) -> None:
    """5 standard errors: 84 moments are farther with probability 84 * 6e-7 at most."""
    markov = drawn[1]["markov"]
    assert markov["values"] == 4 * 16 * 16
    assert 0 < markov["farthest"] < 5


def test_who_learned_by_heart_sees_through_little_noise_and_ends_in_pictures_that_it_knows(
    drawn: tuple[Path, dict[str, Any]],
) -> None:
    guesses, config = drawn[1]["guesses"]["levels"], drawn[1]["config"]
    assert guesses[0]["x0_mse"] < 1e-6 < 0.01 < guesses[-1]["x0_mse"]
    assert drawn[1]["names"]["denoiser"] == "20 pictures learned by heart"
    assert (config["seed"], config["from"], drawn[1]["nimg"]) == (0, None, None)


def test_colours_of_any_shape_and_growing_noise_are_drawn_with_a_word_about_the_scale(tmp_path: Path) -> None:
    """A folder whose deviation is not known. Tiles of 3x8x24 are 40 pixels high."""
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(rng.integers(0, 256, (8, 24, 3), dtype=np.uint8)).save(tmp_path / "in" / f"{i}.png")
    folder = ("data=folder", f"data.root={tmp_path / 'in'}", "data.shape=[3,8,24]", "data.classes=[]")
    numbers = explain(tmp_path / "out", *SMALL, *folder, "schedule=ve", "grid=karras", "grid.steps=3", "sampler=heun")
    assert 0.5 < numbers["config"]["data"]["sigma_data"] < 0.65  # uniform on [-1, 1]: 1/sqrt(3)
    assert numbers["names"]["denoiser"] == "3 pictures learned by heart"
    assert numbers["forward"]["columns"][-1]["sigma"] == pytest.approx(80)
    assert numbers["markov"]["farthest"] < 5
    page = np.array(Image.open(tmp_path / "out" / "forward.png")).astype(int)
    assert (page.max(2) - page.min(2)).max() > 50  # colours
    assert len(page) == 104 + 4 * 25 + 8 + 2 * (40 + 8) + 30 + 24  # with a line for the word


@pytest.fixture(scope="module")
def of_smoke(smoke: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("of_smoke")
    return out, explain(out, f"from={smoke.path}", *SMALL)


@pytest.mark.slow
def test_run_is_explained_with_its_own_choices_data_and_network(
    smoke: Run, of_smoke: tuple[Path, dict[str, Any]]
) -> None:
    numbers = of_smoke[1]
    trained, config = smoke.read_config(), numbers["config"]
    for group in ("data", "schedule", "prediction", "weighting", "times", "sampler", "grid"):
        assert config[group] == trained[group], group
    assert (numbers["nimg"], numbers["names"]["x0"]) == (2048, "that it has never seen")
    assert numbers["reverse"]["protocol"]["sampler"] == "dpmpp_2m()"
    assert len(numbers["reverse"]["nodes"]) == trained.grid.steps + 1


def test_picture_at_the_end_of_the_chain_is_the_one_that_sample_makes(
    smoke: Run, of_smoke: tuple[Path, dict[str, Any]]
) -> None:
    denoiser, _ = load_denoiser(smoke)
    made = next(assemble.generation(smoke.read_config()).batches(denoiser, 0, [0, 1], 2))
    page = np.array(Image.open(of_smoke[0] / "reverse.png"))
    tile = made[0, 0].repeat_interleave(8, 0).repeat_interleave(8, 1).numpy()
    x, y = 24 + 90 + 4 * 136, 104 + 4 * 25 + 8
    assert np.abs(page[y : y + 128, x : x + 128, 0].astype(int) - tile).max() <= 1  # another batch, another kernel


def test_single_choices_of_a_run_may_be_overridden_and_a_named_one_is_as_its_file_has_it(smoke: Run) -> None:
    cfg, trained = compose("explain", [f"from={smoke.path}", "grid.steps=6", "schedule=ve"]), smoke.read_config()
    assert (cfg.grid.steps, cfg.grid.rho) == (6, trained.grid.rho)
    assert (cfg.schedule._target_, cfg.schedule.sigma_max) == ("difflab.schedules.VE", 80)
    assert (cfg.times, cfg.logger.kind) == (trained.times, "none")


@pytest.mark.slow
def test_wandb_offline_holds_pictures_films_and_errors(tmp_path: Path) -> None:
    explain(tmp_path, *NO_RUN, "logger=wandb", "logger.mode=offline")
    text = json.dumps(records(tmp_path))
    for wanted in ("explain/forward_film", "explain/reverse_film", *(f"explain/{name}" for name in PAGES)):
        assert wanted in text, wanted
    assert "explain/eps_mse/t=0.25" in text
    assert {p.suffix for p in (tmp_path / "wandb").rglob("media/**/*") if p.is_file()} == {".png", ".gif"}


@pytest.mark.slow
def test_pictures_of_a_finished_run_go_into_its_own_wandb_run_and_change_nothing(tmp_path: Path) -> None:
    run = train(tmp_path, "train.total_nimg=64", "metrics=none")
    before = files(run)
    explain(tmp_path / "out", f"from={run.path}", *SMALL, "logger=wandb")
    sessions = sorted((run.path / "wandb").glob("offline-run-*"))
    assert len(sessions) == 2
    assert all(run.read_config().logger.run_id in session.name for session in sessions)
    assert "explain/markov" in json.dumps(records(run.path)[-60:])
    assert files(run) == before


def files(run: Run) -> dict[Path, bytes]:
    """All of a run but its trackers'."""
    return {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file() and "wandb" not in p.parts}


def records(folder: Path) -> list[dict[str, Any]]:
    """Every record of the offline sessions, as wandb's own reader gives them."""
    out = []
    for log in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        command = [Path(sys.executable).parent / "wandb", "leet", "inspect", "--json", str(log)]
        text = subprocess.run(command, cwd=log.parent, capture_output=True, text=True, check=True, timeout=60).stdout
        out += [json.loads(line) for line in text.splitlines()]
    return out


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["at=[0]"], ["at=0", "from 1 to steps=1000"]),
        (["at=[1001]"], ["at=1001", "from 1 to steps=1000"]),
        (["at=[]"], ["at=[]", "at=[497]"]),
        (["at=[2.5]"], ["at=2.5", "whole number"]),
        (["at=497"], ["at=497", "a list"]),
        (["schedule.t_max=0.5"], ["at=750", "'cosine'", "steps 1 to 500"]),
        (["n=0"], ["n=0", "1 or more"]),
        (["frames=1"], ["frames=1", "2 or more"]),
        (["by_heart=0"], ["by_heart=0", "1 or more"]),
        (["compare=[snrr]"], ["compare=snrr", "did you mean 'snr'?"]),
        (["schedule=cosin"], ["schedule=cosin", "did you mean 'cosine'?"]),
        (["from=nowhere"], ["from=nowhere", "no such run"]),
        (["prediction=eps"], ["'eps' cannot recover x0 at t=1", "prediction=v"]),
        (["prediction=eps", "grid=karras", "at=[1000]"], ["'eps' cannot recover x0 at t=1"]),
        (["times=lognormal", "times.mean=90.0"], ["nearly all draws fall on one level", "Lognormal"]),
        (["logger=csv"], ["logger=csv", "logger=wandb"]),
    ],
    ids=lambda x: " ".join(x),
)
def test_misuse_is_one_line_and_writes_nothing(
    overrides: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", f"out={tmp_path / 'out'}", *overrides]) == 1
    error = capsys.readouterr().err
    assert error.startswith("difflab: ")
    assert error.count("\n") == 1, error
    assert all(word in error for word in words), error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["prediction=eps"], ["prediction=Eps()", "predicts V(", "leave prediction out"]),
        (["data=emoji"], ["data.shape=[3, 32, 32]", "[1, 16, 16]"]),
        (["weights=best"], ["weights=best", "ema"]),
    ],
)
def test_run_is_not_asked_for_what_it_has_not_learned(
    smoke: Run, overrides: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", f"from={smoke.path}", f"out={tmp_path / 'out'}", *overrides]) == 1
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("file", [f"{g}/{o}" for g in ("schedule", "times") for o in options(g)])
def test_every_schedule_and_every_times_has_a_density_of_levels(file: str) -> None:
    """All of it within the trained levels, but for what the cells leave out at the ends and what is held at them."""
    cfg = OmegaConf.create({group: OmegaConf.load(conf_dir() / f"{group}.yaml") for group in {*DENSITY, file}})
    group = file.partition("/")[0]
    parts = {name.partition("/")[0]: build(cfg[name]) for name in DENSITY} | {group: build(cfg[file])}
    logsnr, p = density(parts["times"], parts["schedule"])
    assert (p > 0).all()
    assert (logsnr.diff() < 0).all()
    assert 0.98 < -torch.trapezoid(p, logsnr).item() < 1.001
