"""difflab edit: use a run on a picture: fill, extend, vary, invert, interpolate, upscale, colorize, reword."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from omegaconf import DictConfig
from torch import Tensor

from difflab import assemble
from difflab.conditions.asked import Asked, InTurn, asked_for
from difflab.conditions.base import Condition
from difflab.config.instantiate import build
from difflab.denoiser import Denoise, Denoiser
from difflab.errors import DifflabError
from difflab.files import file_digest, write_json
from difflab.generation import Generation
from difflab.guidance import ClassifierFree
from difflab.latents.opened import codec_of
from difflab.latents.settings import refuse_latents
from difflab.picture_files import PictureFile, read_mask
from difflab.pictures import edited
from difflab.pictures.album import finite
from difflab.pixels import save_gif, save_png
from difflab.progress import images_bar
from difflab.runs.directory import Run, find_run
from difflab.runs.weights import load_denoiser, snapshots_of
from difflab.tasks import Edit, Inputs, Reword, Task

FILMED = 16  # results in the film
NAMES = ("image", "mask", "to")
WORDS = ("label", "prompt", "prompts")


def main(cfg: DictConfig) -> Path:
    """Write 000000.png ..., sheet.png, film.gif and edit.json; prints and returns the folder.

    Everything is checked and made before anything is written.
    """
    task, run, files = build(cfg.task), find_run(cfg["from"]), named_files(cfg)
    out, n, device = run.new_output("edited", cfg.out), _count(task, cfg.n), assemble.device(cfg.trainer)
    own = run.read_config()
    if task.of_pixels:
        refuse_latents(own, f"task={_name(task)} knows what is measured of pixels")
    denoiser, checkpoint = load_denoiser(run, cfg.weights)
    asked = _asked(cfg, own, denoiser.condition, task, n)
    plain = _plain(cfg, own, run, asked, device)
    given = read_inputs(task, own.data.shape, files, cfg)
    if isinstance(task, Reword):
        given = given._replace(under=told_before(task, denoiser.to(device), asked, device))
    edit = task(plain, given)
    way, results = made(edit, denoiser.to(device), cfg, n, device)
    counted = edit.generation if given.under is None else replace(edit.generation, start=None)  # see Reword
    about = _protocol(cfg, run, checkpoint["nimg"], counted, denoiser.learns_variance) | {
        "n": len(results),
        **({} if asked is None else {"words": asked(cfg.seed, range(len(results))).words}),
        "inputs": {name: {"path": file.name, "sha256": file_digest(file.path)} for name, file in files.items()},
        "figures": task.figures(given, results),
    }
    beside = {**edit.beside, task.begins_as: way[0][0]} if task.begins_as is not None else edit.beside
    frames = [*results.split(1)] if task.is_a_film else way
    write(out, about, edited.sheet(*_words(about), beside, results), results, frames)
    for name, value in about["figures"].items():
        print(f"{name}: {value:.4g}")
    print(f"edited: {out}")
    return out


def _asked(cfg: DictConfig, own: DictConfig, condition: Condition, task: Task, n: int) -> Asked | None:
    """What the n results are to be; None where nothing is said.

    Raises DifflabError for words that the run does not know, and for more of them than results to be made for them.
    """
    if all(cfg[key] is None for key in WORDS):
        return None
    asked = asked_for(cfg, own, condition, WORDS)
    room = 1 if task.is_a_film else n  # a film of one thing
    if isinstance(asked, InTurn) and len(asked.rows) > room:
        raise DifflabError(
            f"{asked.name}: these are {len(asked.rows)} things to make, and task={_name(task)} makes {room}; name no "
            "more, or set n where the task takes it"
        )
    return asked


def _plain(cfg: DictConfig, own: DictConfig, run: Run, asked: Asked | None, device: torch.device) -> Generation:
    """The run's generation, before the task."""
    cfg = cfg.copy()
    if asked is None and type(build(cfg.guidance)) is ClassifierFree:
        cfg.guidance = {"_target_": "difflab.guidance.NoGuidance"}  # without words both of its guesses are one
    plain = assemble.generation(assemble.with_sampler(own, cfg), snapshots_of(run, device))
    return plain.asking(asked).decoding(codec_of(run))


def write(
    out: Path,
    about: dict[str, Any],
    sheet: UInt8[Tensor, "3 H W"],
    results: UInt8[Tensor, "n c h w"],
    frames: Sequence[UInt8[Tensor, "b c h w"]],
) -> None:
    """All files of an edit."""
    for i, result in enumerate(results):
        save_png(out / f"{i:06d}.png", result)
    save_png(out / "sheet.png", sheet)
    save_gif(out / "film.gif", edited.film(frames))
    write_json(out / "edit.json", finite(about))


def named_files(cfg: DictConfig) -> dict[str, PictureFile]:
    """The pictures that the command names. Raises DifflabError for one that can't be read."""
    return {name: PictureFile(name, str(cfg[name])) for name in NAMES if cfg[name] is not None}


def read_inputs(task: Task, shape: Sequence[int], files: dict[str, PictureFile], cfg: DictConfig) -> Inputs:
    """The pictures as the task takes them, for a run of pictures of `shape`.

    Raises DifflabError for one that is missing, of no use to the task, or does not fit.
    """
    name, takes = _name(task), [*task.needs, *task.may_have]
    for key in NAMES:
        if key in task.needs and key not in files:
            raise DifflabError(f"task={name} needs {key}=: name a PNG or JPEG file")
        if key in files and key not in takes:
            raise DifflabError(f"{key}={cfg[key]}: task={name} has no use for it; it takes {', '.join(takes)}")
    wanted = task.image_shape(shape)
    read: dict[str, Any] = {
        key: files[key].read(wanted, cfg.resize, cfg.convert) for key in ("image", "to") if key in files
    }
    if "mask" not in files:
        return Inputs(**read)
    return Inputs(**read, mask=read_mask(files["mask"], files["image"], wanted, cfg.resize))


def told_before(task: Reword, denoiser: Denoiser, asked: Asked | None, device: torch.device) -> Denoise:
    """The denoiser on the words for what the picture shows. Raises DifflabError where no other words are asked for."""
    if asked is None:
        raise DifflabError("task=reword needs prompt= or label=: say what the picture is to become")
    try:
        source = denoiser.condition.ask([task.source])
    except DifflabError as error:
        raise DifflabError(f"task.source={task.source} is not what the run can be told: {error}") from error
    with torch.no_grad():
        return denoiser.given(source.to(device))


def _name(task: Task) -> str:
    return type(task).__name__.lower()


def _count(task: Task, n: Any) -> int:
    """How many results are made; a null of a configuration may become anything."""
    if n is not None and not (isinstance(n, int) and n >= 1):
        raise DifflabError(f"n={n}: the number of results is a whole number, 1 or more")
    return task.count(n)


@torch.inference_mode()
def made(
    edit: Edit, denoiser: Denoiser, cfg: DictConfig, n: int, device: torch.device
) -> tuple[list[UInt8[Tensor, "b c h w"]], UInt8[Tensor, "n c h w"]]:
    """The way of the first results, frame by frame, and all results; with a progress bar."""
    first, generation = range(min(n, FILMED, cfg.batch)), edit.generation
    count = 1 + min(len(generation.nodes), cfg.film_frames)
    way = []
    with images_bar("edits", n * count) as advance:
        for frame in generation.film(denoiser, cfg.seed, first, device, cfg.film_frames):
            way.append(frame)
            advance(len(first))
        results = [way[-1]]
        for start in range(len(first), n, cfg.batch):
            indices = range(start, min(start + cfg.batch, n))
            results.append(generation.batch(denoiser, cfg.seed, indices, device))
            advance(len(indices) * count)
    return way, torch.cat(results)


def _protocol(cfg: DictConfig, run: Run, nimg: int, generation: Generation, learns_variance: bool) -> dict[str, Any]:
    """What edit.json says of how the results were made."""
    return {
        "task": assemble.describe(cfg.task),
        "seed": cfg.seed,
        "resize": cfg.resize,
        "convert": cfg.convert,
        "run": str(run.path),
        "nimg": nimg,
        "weights": cfg.weights,
        **generation.protocol,
        "nfe": generation.nfe(learns_variance),
    }


def _words(about: dict[str, Any]) -> tuple[str, str]:
    """The title of the sheet, and the line below it."""
    task, sampler, grid = (str(about[key]).partition("(")[0] for key in ("task", "sampler", "grid"))
    cost = "" if about["nfe"] is None else f", {about['nfe']} evaluations"
    return task, f"{sampler} on {grid}{cost}, {about['nimg']:,} images of training"
