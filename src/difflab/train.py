"""difflab train: from a configuration to a run directory."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig

from difflab import assemble
from difflab.budget import images_in
from difflab.callbacks.checkpoint import WholeFiles
from difflab.callbacks.parts import Parts, assemble_callbacks
from difflab.data.images import measure_sigma_data
from difflab.data.module import ImageData, from_config
from difflab.errors import DifflabError
from difflab.finish import finish
from difflab.instantiate import build
from difflab.lit import Diffusion
from difflab.nets.cost import gflop_per_image, parameters
from difflab.quiet import quiet_lightning
from difflab.runs import Run, find_run, new_run
from difflab.score import suite
from difflab.tracking import Recorder, close_loggers, describe_loggers, open_loggers
from difflab.weights import check_weights, denoiser_weights, load_checkpoint

RUN_VARIABLE = "DIFFLAB_RUN"  # how further processes of a run on several devices find its directory


def main(cfg: DictConfig) -> Run:
    """Train, sample, score; the last line printed is `run: <run directory>`.

    Everything is built, and refused, before a run directory is made or changed.
    """
    quiet_lightning()
    if _is_helper():
        cfg = Run(_opened_by_rank_0()).read_config()
    data = _data(cfg)
    module = _module(cfg)
    generation, scored = assemble.generation(cfg), suite(cfg, data, assemble.device(cfg.trainer))
    checkpoint = _Checkpoint.of(cfg, module)
    if (run := checkpoint.finished_run(cfg)) is not None:
        print(f"finished: all {checkpoint.nimg:,} images are seen (train.total_nimg=... trains on)\nrun: {run.path}")
        return run
    recorder = Recorder(_planned_run(cfg))
    parts = assemble_callbacks(cfg, module, generation, scored, recorder)
    _settle_budget(cfg, module)
    trainer = _trainer(cfg, module, parts, checkpoint)
    with _opened(cfg, recorder):
        if not _is_helper():
            _announce(cfg, module, recorder)
        with _stopped_gently(recorder.run, module):
            trainer.fit(module, data, ckpt_path=checkpoint.path, weights_only=True)
        if trainer.is_global_zero:
            module.to(assemble.device(cfg.trainer))  # Lightning has taken it off a GPU
            finish(module, parts, recorder, cfg.metrics.n)
            print(f"run: {recorder.run.path}")
    return recorder.run


@dataclass(frozen=True)
class _Checkpoint:
    """What to resume from, if anything, and how far it is."""

    path: Path | None = None
    nimg: int = 0
    step: int = 0

    @staticmethod
    def of(cfg: DictConfig, module: Diffusion) -> "_Checkpoint":
        """Raises DifflabError where its weights don't fit the network."""
        if cfg.resume is None:
            return _Checkpoint()
        run = find_run(cfg.resume, "resume")
        contents = load_checkpoint(run.checkpoint)
        check_weights(module.denoiser, denoiser_weights(contents), run)
        return _Checkpoint(run.checkpoint, contents["nimg"], contents["global_step"])

    def finished_run(self, cfg: DictConfig) -> Run | None:
        """The run to resume, if nothing is left to do: a kill may have come between training and figures."""
        if self.path is None or self.nimg < cfg.train.total_nimg:
            return None
        run = find_run(cfg.resume, "resume")
        return run if run.result.is_file() else None


def _is_helper() -> bool:
    """Whether this process is a further rank of a run on several devices."""
    return int(os.environ.get("LOCAL_RANK", 0)) > 0


def _opened_by_rank_0() -> Path:
    if RUN_VARIABLE not in os.environ:
        raise DifflabError(
            f"LOCAL_RANK={os.environ['LOCAL_RANK']}, but {RUN_VARIABLE} is not set: start `difflab train` once, it "
            "starts the processes of trainer.devices itself"
        )
    return Path(os.environ[RUN_VARIABLE])


def _planned_run(cfg: DictConfig) -> Run:
    """Where the run is or will be: nothing is made yet."""
    if _is_helper():
        return Run(_opened_by_rank_0())
    return find_run(cfg.resume, "resume") if cfg.resume is not None else new_run(Path(cfg.runs), cfg.name)


def _data(cfg: DictConfig) -> ImageData:
    """The pictures; a deviation of null is measured on them and recorded."""
    data = from_config(cfg.data, _micro_batch(cfg), cfg.train.seed)
    data.setup()
    if cfg.data.sigma_data is None:
        cfg.data.sigma_data = round(measure_sigma_data(data.train.pixels), 3)
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


def _module(cfg: DictConfig) -> Diffusion:
    denoiser, t = assemble.denoiser(cfg), cfg.train
    return Diffusion(denoiser, assemble.objective(cfg), build(cfg.optim), t.total_nimg, t.seed, t.grad_clip)


def _settle_budget(cfg: DictConfig, module: Diffusion) -> None:
    """Fix train.total_nimg: a whole number of steps, or what train.minutes allows."""
    batch = cfg.train.batch_size
    if cfg.train.minutes is not None:
        cfg.train.total_nimg = images_in(float(cfg.train.minutes), module, cfg, _micro_batch(cfg))
        cfg.train.minutes = None
    cfg.train.total_nimg = -(-cfg.train.total_nimg // batch) * batch
    module.total_nimg = cfg.train.total_nimg


@contextmanager
def _opened(cfg: DictConfig, recorder: Recorder) -> Iterator[None]:
    """The run directory with its config.yaml, and trackers that are closed whatever happens."""
    if _is_helper():
        yield
        return
    if cfg.logger.kind == "wandb" and cfg.logger.run_id is None:
        cfg.logger.run_id = uuid.uuid4().hex[:8]
    recorder.run.write_config(cfg)
    os.environ[RUN_VARIABLE] = str(recorder.run.path)
    failed = True
    try:
        recorder.loggers = open_loggers(cfg, recorder.run)
        yield
        failed = False
    finally:
        close_loggers(cfg, recorder, failed)


@contextmanager
def _stopped_gently(run: Run, module: Diffusion) -> Iterator[None]:
    """Lightning turns Ctrl-C and SIGTERM into an exit without a word; say how to go on."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        raise DifflabError(
            f"stopped at {module.nimg:,} of {module.total_nimg:,} images; `difflab train resume={run.path}` goes on "
            "from the last checkpoint"
        ) from error


def _announce(cfg: DictConfig, module: Diffusion, recorder: Recorder) -> None:
    net = module.denoiser.net
    size = f"{parameters(net) / 1e6:.2f} M parameters, {gflop_per_image(net, cfg.data.shape):.3f} GFLOP/image"
    print(f"{cfg.name}: {size}, {cfg.train.total_nimg:,} images of {cfg.data.name} -> {recorder.run.path}")
    if where := describe_loggers(recorder.loggers):
        print(where)


def _trainer(cfg: DictConfig, module: Diffusion, parts: Parts, checkpoint: _Checkpoint) -> pl.Trainer:
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
            logger=False,  # the recorder speaks to the trackers
            default_root_dir=parts.checkpoint.recorder.run.path,
            use_distributed_sampler=False,  # the stream knows its rank
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (ValueError, MisconfigurationException) as error:
        raise DifflabError(
            f"trainer or optim does not work here: {' '.join(str(error).split())} (trainer=cpu runs anywhere)"
        ) from error
