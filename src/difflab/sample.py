"""difflab sample: pictures from a run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, ListConfig
from torch import Tensor

from difflab import assemble
from difflab.conditions.asked import Asked, asked_for
from difflab.conditions.base import Condition, Given
from difflab.errors import DifflabError
from difflab.files import file_digest, write_json
from difflab.latents.opened import codec_of
from difflab.pictures.album import finite
from difflab.pictures.labelled import labelled_grid
from difflab.pixels import grid, save_png
from difflab.runs.directory import find_run, user_path
from difflab.runs.weights import load_denoiser, snapshots_of
from difflab.scoring.sources import cut

GRID_PICTURES = 256  # in grid.png; the rest is in single files


def main(cfg: DictConfig) -> Path:
    """Write 000000.png ..., words.txt (what each was asked to be), grid.png and samples.json; prints and returns the
    folder."""
    if cfg.n < 1:
        raise DifflabError(f"n={cfg.n}: sample makes 1 picture or more")
    run, device = find_run(cfg["from"]), assemble.device(cfg.trainer)
    out = run.new_output("sampled", cfg.out)
    own, (denoiser, checkpoint) = run.read_config(), load_denoiser(run, cfg.weights)
    asked = asked_for(cfg, own, denoiser.condition)
    generation = assemble.generation(assemble.with_sampler(own, cfg), snapshots_of(run, device))
    generation = generation.asking(asked).decoding(codec_of(run))
    batches = generation.batches(denoiser.to(device), cfg.seed, range(cfg.n), cfg.batch, device)
    first = torch.cat(list(_save(batches, out)))
    page, made_for = grid(first, scale=2), dict[str, Any]()
    if asked is not None:
        page, made_for = _made_for(denoiser.condition, asked(cfg.seed, range(len(first))), first)
        _save_words(asked, cfg, out)
    save_png(out / "grid.png", page)
    write_json(out / "samples.json", {
        "n": cfg.n,
        "seed": cfg.seed,
        "run": str(run.path),
        "nimg": checkpoint["nimg"],
        "weights": cfg.weights,
        **generation.protocol,
        **_inputs(cfg.image),
        **made_for,
    })  # fmt: skip
    print(f"samples: {out}")
    return out


def _made_for(condition: Condition, rows: Given, first: Tensor) -> tuple[Tensor, dict[str, Any]]:
    """The grid of the first pictures with what each was made for, and how well they keep it."""
    kept = condition.kept(rows, first)
    for name, value in kept.items():
        print(f"{name}: {value:.4g} of {len(first)} pictures")
    counted = {f"{name}_n": len(first) for name in kept}
    return labelled_grid(condition.beside(rows, first), rows.words), {**finite(kept), **counted}


def _inputs(image: Any) -> dict[str, Any]:
    """The pictures that were given, which samples.json names by their content."""
    names = image if isinstance(image, ListConfig) else [image]
    paths = [user_path(str(name)) for name in names if name]
    return {"inputs": [{"path": str(path), "sha256": file_digest(path)} for path in paths]} if paths else {}


def _save(batches: Iterator[Tensor], out: Path) -> Iterator[Tensor]:
    """Write each picture as it comes; yields those of the grid."""
    done = 0
    for images in batches:
        for i, image in enumerate(images, start=done):
            save_png(out / f"{i:06d}.png", image)
        if done < GRID_PICTURES:
            yield images[: GRID_PICTURES - done]
        done += len(images)


def _save_words(asked: Asked, cfg: DictConfig, out: Path) -> None:
    """A line a picture, empty where nothing was asked."""
    with (out / "words.txt").open("w", encoding="utf-8") as file:
        for few in cut(range(cfg.n), cfg.batch):
            file.writelines(" ".join(words.split()) + "\n" for words in asked(cfg.seed, few).words)
