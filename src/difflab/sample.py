"""difflab sample: pictures from a run."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor

from difflab import assemble
from difflab.conditions.asked import asked_for
from difflab.errors import DifflabError
from difflab.files import write_json
from difflab.pictures.labelled import labelled_grid
from difflab.pixels import grid, save_png
from difflab.runs import find_run
from difflab.weights import load_denoiser, snapshots_of

GRID_PICTURES = 256  # in grid.png; the rest is in single files


def main(cfg: DictConfig) -> Path:
    """Write 000000.png ..., grid.png and samples.json; prints and returns the folder."""
    if cfg.n < 1:
        raise DifflabError(f"n={cfg.n}: sample makes 1 picture or more")
    run = find_run(cfg["from"])
    out = (
        Path(cfg.out) if cfg.out is not None else run.outputs / "sampled" / datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    )
    device = assemble.device(cfg.trainer)
    own, (denoiser, checkpoint) = run.read_config(), load_denoiser(run, cfg.weights)
    asked = asked_for(cfg, own, denoiser.condition)
    generation = assemble.generation(assemble.with_sampler(own, cfg), snapshots_of(run, device)).asking(asked)
    batches = generation.batches(denoiser.to(device), cfg.seed, range(cfg.n), cfg.batch, device)
    first = torch.cat(list(_save(batches, out)))
    words = None if asked is None else asked(cfg.seed, range(cfg.n)).words
    save_png(out / "grid.png", grid(first, scale=2) if words is None else labelled_grid(first, words[: len(first)]))
    write_json(out / "samples.json", {
        "n": cfg.n,
        "seed": cfg.seed,
        "run": str(run.path),
        "nimg": checkpoint["nimg"],
        "weights": cfg.weights,
        **generation.protocol,
        **({} if words is None else {"words": words}),
    })  # fmt: skip
    print(f"samples: {out}")
    return out


def _save(batches: Iterator[Tensor], out: Path) -> Iterator[Tensor]:
    """Write each picture as it comes; yields those of the grid."""
    done = 0
    for images in batches:
        for i, image in enumerate(images, start=done):
            save_png(out / f"{i:06d}.png", image)
        if done < GRID_PICTURES:
            yield images[: GRID_PICTURES - done]
        done += len(images)
