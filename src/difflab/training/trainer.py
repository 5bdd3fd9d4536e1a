"""What every training needs of a configuration, whatever is trained: pictures, batches, budget, Lightning."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from torch import nn

from difflab.callbacks.checkpoint import WholeFiles
from difflab.data.image_data import ImageData, from_config
from difflab.data.images import measure_sigma_data
from difflab.data.module import DataModule
from difflab.errors import DifflabError
from difflab.lit import ByImages
from difflab.nets.cost import parameters
from difflab.runs.directory import Run
from difflab.tracking import Recorder
from difflab.training.budget import images_in
from difflab.training.session import Checkpoint, is_helper, opened, stopped_gently

SILENT: dict[str, Any] = {  # the recorder speaks to the tracker and the terminal
    "logger": False, "enable_progress_bar": False, "enable_model_summary": False,
}  # fmt: skip


def load_data(cfg: DictConfig) -> ImageData:
    """The pictures; a deviation of null is measured on them, classes of null are taken from them, and recorded."""
    data = from_config(cfg.data, micro_batch(cfg), cfg.train.seed)
    data.setup()
    if cfg.data.sigma_data is None:
        cfg.data.sigma_data = round(measure_sigma_data(data.train.pixels), 3)
    if cfg.data.classes is None:
        cfg.data.classes = data.classes
    return data


def micro_batch(cfg: DictConfig) -> int:
    """Images a device sees at once: train.batch_size is the whole optimiser step, on any number of devices."""
    parts = int(cfg.trainer.devices) * cfg.train.accumulate
    if cfg.train.batch_size % parts:
        raise DifflabError(
            f"train.batch_size={cfg.train.batch_size} does not divide by {cfg.trainer.devices} devices x "
            f"train.accumulate={cfg.train.accumulate}: make it a multiple of {parts}"
        )
    return int(cfg.train.batch_size) // parts


def settle_budget(cfg: DictConfig, module: ByImages, data: ImageData, seen: int = 0) -> None:
    """Fix train.total_nimg: a whole number of steps, or what train.minutes allows beyond the images `seen`."""
    batch = cfg.train.batch_size
    if cfg.train.minutes is not None:
        cfg.train.total_nimg = seen + images_in(float(cfg.train.minutes), module, data, cfg)
        cfg.train.minutes = None
    cfg.train.total_nimg = -(-cfg.train.total_nimg // batch) * batch
    module.total_nimg = cfg.train.total_nimg


def check_devices(t: DictConfig) -> None:
    """Refuse devices that are not here and words that Lightning does not know, before anything else is made.

    Gradients of 16-mixed are still scaled where ByImages clips them, and Lightning lets fused Adam unscale them later.
    """
    if t.precision in ("16", "16-mixed"):
        raise DifflabError(
            f"trainer.precision={t.precision}: its scaled gradients do not go with train.grad_clip and fused Adam; "
            "take bf16-mixed, or 32-true"
        )
    with refused_by_lightning():
        pl.Trainer(accelerator=t.accelerator, devices=t.devices, precision=t.precision, **SILENT)


@contextmanager
def refused_by_lightning() -> Iterator[None]:
    """Raises DifflabError for what Lightning does not take."""
    try:
        yield
    except (ValueError, MisconfigurationException) as error:
        raise DifflabError(
            f"trainer or optim does not work here: {' '.join(str(error).split())} (trainer=cpu runs anywhere)"
        ) from error


def lightning(
    cfg: DictConfig, module: ByImages, callbacks: Sequence[pl.Callback], run: Run, checkpoint: Checkpoint
) -> pl.Trainer:
    """Raises DifflabError for devices that are not here and for what the optimiser does not take."""
    t, steps_left = cfg.trainer, -(-(cfg.train.total_nimg - checkpoint.nimg) // cfg.train.batch_size)
    if t.tf32:
        torch.set_float32_matmul_precision("high")
    with refused_by_lightning():
        module.configure_optimizers()
        return pl.Trainer(
            accelerator=t.accelerator,
            devices=t.devices,
            strategy=t.strategy,
            precision=t.precision,
            max_epochs=-1,
            max_steps=checkpoint.step + max(0, steps_left),
            accumulate_grad_batches=cfg.train.accumulate,
            callbacks=list(callbacks),
            plugins=[WholeFiles()],
            default_root_dir=run.path,
            use_distributed_sampler=False,  # the stream knows its rank
            **SILENT,
        )


def fitted(
    cfg: DictConfig,
    module: ByImages,
    data: ImageData,
    callbacks: Sequence[pl.Callback],
    recorder: Recorder,
    checkpoint: Checkpoint,
    begin: Callable[[], None],
    end: Callable[[], None],
) -> Run:
    """Train to the end; rank 0 calls `begin` in the opened run and `end` after the last step, and says where it is."""
    trainer = lightning(cfg, module, callbacks, recorder.run, checkpoint)
    with opened(cfg, recorder, checkpoint):
        if not is_helper():
            begin()
        with stopped_gently(recorder.run, module):
            trainer.fit(module, DataModule(data), ckpt_path=checkpoint.path, weights_only=True)
        if trainer.is_global_zero:
            end()
            print(f"run: {recorder.run.path}")
    return recorder.run


def announce(cfg: DictConfig, recorder: Recorder, trained: nn.Module, gflop: float) -> None:
    size = f"{parameters(trained) / 1e6:.2f} M parameters, {gflop:.3f} GFLOP/image"
    print(f"{cfg.name}: {size}, {cfg.train.total_nimg:,} images of {cfg.data.name} -> {recorder.run.path}")
    if recorder.tracker.where:
        print(recorder.tracker.where)
