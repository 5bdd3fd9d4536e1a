"""How far a run listens: its error told a picture's own caption, another's, or none: python bench/hearing.py RUN.

For some noise levels (sigma/alpha), with the same pictures and the same noise: the mean squared error of the guessed
picture, on pictures of the training and on held-out ones. What a caption is worth is how far `own` lies below `none`; a
run that learns its pictures by heart shows it where `own` falls on those of the training alone.
"""

import sys
from collections.abc import Iterator

import torch

from difflab.data.image_data import from_config
from difflab.data.images import Images
from difflab.denoiser import Denoiser
from difflab.pixels import to_model
from difflab.rng import generator
from difflab.runs.directory import find_run
from difflab.runs.weights import load_denoiser

LEVELS = (20.0, 5.0, 2.0, 1.0, 0.5, 0.2)
PICTURES = 100


def main() -> None:
    run = find_run(sys.argv[1])
    denoiser, _ = load_denoiser(run)
    data = from_config(run.read_config().data, batch_size=1, seed=0)
    print(f"{run.path}: mean squared error of {PICTURES} pictures in [-1, 1]")
    print("pictures  noise      own  another's    none")
    for name, split in (("train", data.train), ("val", data.val)):
        for level, own, other, none in errors(denoiser, spread(split)):
            print(f"{name:8} {level:6.1f}   {own:.4f}     {other:.4f}  {none:.4f}", flush=True)


def spread(images: Images) -> Images:
    """PICTURES of them, from first to last."""
    return images.select(torch.linspace(0, len(images) - 1, PICTURES).long())


@torch.inference_mode()
def errors(denoiser: Denoiser, images: Images) -> Iterator[tuple[float, float, float, float]]:
    """The level, and the error told the own caption, that of the picture before, and none."""
    x0 = to_model(images.pixels)
    noise = torch.randn(x0.shape, generator=generator(0, "hearing"))
    captions = images.captions or sys.exit("the run's pictures have no captions")
    told = [denoiser.condition.ask(c) for c in (captions, captions[-1:] + captions[:-1], [""] * len(captions))]
    for level in LEVELS:
        alpha = torch.tensor(1 / (1 + level**2) ** 0.5, dtype=torch.float64)
        x = alpha.float() * x0 + (alpha * level).float() * noise
        found = [denoiser.given(given)(x, alpha, alpha * level) for given in told]
        own, other, none = (float((guess - x0).square().mean()) for guess in found)
        yield level, own, other, none


if __name__ == "__main__":
    main()
