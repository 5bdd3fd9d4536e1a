"""A budget of minutes turned into a budget of images by a short measurement."""

import copy
import time

import torch

from difflab.lit import Diffusion
from difflab.rng import generator


def images_in(minutes: float, module: Diffusion, shape: tuple[int, ...], batch: int, seconds: float = 4.0) -> int:
    """The images that training steps of `batch` see in that time, a multiple of `batch`.

    Trains a copy on noise, so that the run itself starts untouched.
    """
    denoiser = copy.deepcopy(module.denoiser)
    optimizer = module.optim.build(denoiser.parameters())

    def step() -> None:
        loss = module.objective(denoiser, torch.randn(batch, *shape), generator(0, "measure"))
        loss.per_sample.mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    step()  # the first one allocates
    start, steps = time.monotonic(), 0
    while time.monotonic() - start < seconds or steps < 2:
        step()
        steps += 1
    rate = steps * batch / (time.monotonic() - start)
    return max(1, round(minutes * 60 * rate / batch)) * batch
