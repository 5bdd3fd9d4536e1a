"""difflab train: from a configuration to a run directory."""

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig

from difflab import assemble
from difflab.budget import images_in
from difflab.callbacks.checkpoint import WholeFiles
from difflab.callbacks.parts import Parts, assemble_callbacks
from difflab.conditions.asked import drawn
from difflab.data.images import measure_sigma_data
from difflab.data.module import ImageData, from_config
from difflab.errors import DifflabError
from difflab.finish import finish
from difflab.instantiate import build
from difflab.lit import Diffusion
from difflab.nets.cost import gflop_of, parameters
from difflab.processes import device_of
from difflab.quiet import quiet_lightning
from difflab.runs import Run
from difflab.score import suite
from difflab.session import Checkpoint, is_helper, opened, opened_by_rank_0, planned_run, stopped_gently
from difflab.tracking import Recorder


def main(cfg: DictConfig) -> Run:
    """Train, sample, score; the last line printed is `run: <run directory>`.

    Everything is built, and refused, before a run directory is made or changed.
    """
    quiet_lightning()
    if is_helper():
        cfg = Run(opened_by_rank_0()).read_config()
    data = _data(cfg)
    module = untrained(cfg)
    module.denoiser.condition.prepare(data.prompts)
    generation = assemble.generation(cfg).asking(drawn(module.denoiser.condition, data))
    scored = suite(cfg, data, device_of(cfg.trainer, rank=0))
    checkpoint = Checkpoint.of(cfg, module)
    if (run := checkpoint.finished_run(cfg)) is not None:
        print(f"finished: all {checkpoint.nimg:,} images are seen (train.total_nimg=... trains on)\nrun: {run.path}")
        return run
    recorder = Recorder(planned_run(cfg))
    parts = assemble_callbacks(cfg, module, generation, scored, recorder)
    settle_budget(cfg, module)
    trainer = _trainer(cfg, module, parts, checkpoint)
    with opened(cfg, recorder, checkpoint):
        if not is_helper():
            _announce(cfg, data, module, recorder)
            if scored is not None:
                _ = scored.reference  # in the cache before other ranks are started: none waits for it
        with stopped_gently(recorder.run, module):
            trainer.fit(module, data, ckpt_path=checkpoint.path, weights_only=True)
        if trainer.is_global_zero:
            finish(module, parts, recorder)
            print(f"run: {recorder.run.path}")
    return recorder.run


def _data(cfg: DictConfig) -> ImageData:
    """The pictures; a deviation of null is measured on them, classes of null are taken from them, and recorded."""
    data = from_config(cfg.data, _micro_batch(cfg), cfg.train.seed)
    data.setup()
    if cfg.data.sigma_data is None:
        cfg.data.sigma_data = round(measure_sigma_data(data.train.pixels), 3)
    if cfg.data.classes is None:
        cfg.data.classes = data.classes
    return data


def _micro_batch(cfg: DictConfig) -> int:
    """Images a device sees at once: train.batch_size is the whole optimiser step, on any number of devices."""
    parts = int(cfg.trainer.devices) * cfg.train.accumulate
    if cfg.train.batch_size % parts:
        raise DifflabError(
            f"train.batch_size={cfg.train.batch_size} does not divide by {cfg.trainer.devices} devices x "
            f"train.accumulate={cfg.train.accumulate}: make it a multiple of {parts}"
        )
    return int(cfg.train.batch_size) // parts


def untrained(cfg: DictConfig) -> Diffusion:
    """The module before its first step. Raises DifflabError for choices that can't work together."""
    denoiser, objective, t = assemble.denoiser(cfg), assemble.objective(cfg), cfg.train
    assemble.check(denoiser, objective)
    return Diffusion(denoiser, objective, build(cfg.optim), t.total_nimg, t.seed, t.grad_clip)


def settle_budget(cfg: DictConfig, module: Diffusion) -> None:
    """Fix train.total_nimg: a whole number of steps, or what train.minutes allows."""
    batch = cfg.train.batch_size
    if cfg.train.minutes is not None:
        cfg.train.total_nimg = images_in(float(cfg.train.minutes), module, cfg, _micro_batch(cfg))
        cfg.train.minutes = None
    cfg.train.total_nimg = -(-cfg.train.total_nimg // batch) * batch
    module.total_nimg = cfg.train.total_nimg


def _announce(cfg: DictConfig, data: ImageData, module: Diffusion, recorder: Recorder) -> None:
    denoiser = module.denoiser
    size = f"{parameters(denoiser) / 1e6:.2f} M parameters, {gflop_of(denoiser, cfg.data.shape):.3f} GFLOP/image"
    print(f"{cfg.name}: {size}, {cfg.train.total_nimg:,} images of {cfg.data.name} -> {recorder.run.path}")
    if recorder.tracker.where:
        print(recorder.tracker.where)
    if module.objective.coupling.mixes_classes and data.classes:
        print(
            f"warning: this coupling lets the {len(data.classes)} classes of {cfg.data.name} compete for the noise, so "
            "that of a class is no longer standard normal: for a network that reads labels, set coupling=independent"
        )


def _trainer(cfg: DictConfig, module: Diffusion, parts: Parts, checkpoint: Checkpoint) -> pl.Trainer:
    """Raises DifflabError for devices that are not here and for what the optimiser does not take."""
    t, steps_left = cfg.trainer, -(-(cfg.train.total_nimg - checkpoint.nimg) // cfg.train.batch_size)
    if t.tf32:
        torch.set_float32_matmul_precision("high")
    if t.compile:
        module.denoiser.net.compile()  # in place, so that the names of the weights stay
    try:
        module.configure_optimizers()
        return pl.Trainer(
            accelerator=t.accelerator,
            devices=t.devices,
            strategy=t.strategy,
            precision=t.precision,
            max_epochs=-1,
            max_steps=checkpoint.step + max(0, steps_left),
            accumulate_grad_batches=cfg.train.accumulate,
            callbacks=parts.all(),
            plugins=[WholeFiles()],
            logger=False,  # the recorder speaks to the tracker
            default_root_dir=parts.checkpoint.recorder.run.path,
            use_distributed_sampler=False,  # the stream knows its rank
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (ValueError, MisconfigurationException) as error:
        raise DifflabError(
            f"trainer or optim does not work here: {' '.join(str(error).split())} (trainer=cpu runs anywhere)"
        ) from error
