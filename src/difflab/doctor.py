"""difflab doctor: what a data set would feed to a model, before a model is trained on it."""

from pathlib import Path

import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from difflab import pixels
from difflab.data.image_data import ImageData, from_config
from difflab.data.images import Images, measure_sigma_data
from difflab.rng import generator

PREVIEW = 64
TOLERANCE = 0.1  # of sigma_data: preconditioning barely feels less


def doctor(cfg: DictConfig) -> None:
    """Print what `cfg.data` holds and write a preview PNG into the folder `cfg.out`.

    Raises DifflabError when the data is missing or is not what its configuration says.
    """
    data = from_config(cfg.data, batch_size=1, seed=cfg.seed)
    data.setup()
    measured = measure_sigma_data(data.train.pixels)
    console = Console(highlight=False)
    console.print(_table(data, measured))
    if data.sigma_data is not None and abs(measured / data.sigma_data - 1) > TOLERANCE:
        console.print(
            f"warning: data.sigma_data is {data.sigma_data:g}, the training pictures have {measured:.3f}: "
            f"set data.sigma_data={measured:.3f}",
            style="yellow",
        )
    path = Path(cfg.out) / f"{data.name}.png"
    pixels.save_png(path, _preview(data.train, cfg.seed))
    print(f"preview: {path}")


main = doctor


def _table(data: ImageData, measured: float) -> Table:
    train, val = data.train, data.val
    levels = train.pixels.amin().item(), train.pixels.amax().item()
    rows = {
        "train": f"{len(train):,} pictures, sha256 {train.digest()[:16]}",
        "val": f"{len(val):,} pictures, sha256 {val.digest()[:16]}",
        "shape": " x ".join(map(str, train.shape)) + " (channels x height x width)",
        "range": f"{levels[0]}..{levels[1]} of 0..255, fed as -1..1",
        "sigma_data": _deviation(data.sigma_data, measured),
        "flip": "yes" if data.flip else "no",
        "classes": _classes(data),
        "captions": "none" if train.captions is None else "; ".join(train.captions[:5]),
    }
    table = Table(title=data.name if data.root is None else f"{data.name}: {data.root}", show_header=False)
    for name, text in rows.items():
        table.add_row(name, escape(text))
    return table


def _classes(data: ImageData) -> str:
    if data.train.labels is None:
        return "none: unlabelled"
    counts = torch.bincount(data.train.labels, minlength=len(data.classes)).tolist()
    return ", ".join(f"{name} {count:,}" for name, count in zip(data.classes, counts, strict=True))


def _preview(images: Images, seed: int) -> torch.Tensor:
    """A grid of a seeded choice, enlarged to about 512 pixels."""
    index = torch.randperm(len(images), generator=generator(seed, "preview"))[:PREVIEW]
    return pixels.grid(images.pixels[index], scale=max(1, 64 // images.shape[-1]))


def _deviation(configured: float | None, measured: float) -> str:
    return f"{measured:.4f} measured" if configured is None else f"{configured:g} configured, {measured:.4f} measured"
