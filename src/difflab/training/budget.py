"""A budget of minutes turned into a budget of images by a short measurement."""

import copy
import time

import torch
from omegaconf import DictConfig

from difflab import assemble
from difflab.data.image_data import ImageData
from difflab.ema import Ema
from difflab.lit import ByImages
from difflab.rng import generator


def images_in(minutes: float, module: ByImages, data: ImageData, cfg: DictConfig, seconds: float = 4.0) -> int:
    """The images that training sees in that time on the devices of `cfg`, a multiple of train.batch_size.

    Trains a copy, on one device and the first batch, so that the run itself starts untouched.
    """
    device = assemble.device(cfg.trainer)
    trained = copy.deepcopy(module).to(device)
    optimizer, ema = module.optim.build(trained.parameters()), Ema(trained.parameters())
    mixed = torch.autocast(device.type, torch.bfloat16, enabled=cfg.trainer.precision == "bf16-mixed")
    batch = trained.transfer_batch_to_device(data.stream().batch(0), device, 0)

    def step() -> None:
        with mixed:
            loss = trained.loss_of(batch, generator(0, "measure", device=device)).per_sample.mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ema.update(trained.parameters(), 0.999)
        loss.item()  # waits for a GPU

    step()  # the first one allocates
    start, steps = time.monotonic(), 0
    while time.monotonic() - start < seconds or steps < 2:
        step()
        steps += 1
    rate = steps * data.batch_size * cfg.trainer.devices / (time.monotonic() - start)
    return max(1, round(minutes * 60 * rate / cfg.train.batch_size)) * int(cfg.train.batch_size)
