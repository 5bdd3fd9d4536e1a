"""difflab train: from a configuration to a run directory."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from difflab import assemble
from difflab.budget import images_in
from difflab.callbacks.checkpoint import LastCheckpoint
from difflab.callbacks.ema import EmaWeights
from difflab.callbacks.evaluation import Evaluation
from difflab.callbacks.noise_loss import NoiseLoss
from difflab.callbacks.samples import Samples
from difflab.callbacks.throughput import Throughput
from difflab.data.module import from_config
from difflab.errors import DifflabError
from difflab.generation import Generation
from difflab.instantiate import build
from difflab.lit import Diffusion
from difflab.metrics.suite import Suite
from difflab.nets.cost import gflop_per_image, parameters
from difflab.pixels import grid, save_gif
from difflab.quiet import quiet_lightning
from difflab.result import write_result
from difflab.runs import Run, find_run, new_run
from difflab.score import suite
from difflab.tracking import Recorder, close_loggers, describe_loggers, open_loggers
from difflab.weights import check_weights, load_checkpoint

RUN_VARIABLE = "DIFFLAB_RUN"  # how further processes of a run on several devices find its directory


def main(cfg: DictConfig) -> Run:
    """Train, sample, score; the last line printed is `run: <run directory>`.

    Everything is built, and refused, before a run directory is made or changed.
    """
    quiet_lightning()
    if _is_helper():
        cfg = Run(Path(os.environ[RUN_VARIABLE])).read_config()
    module, data = _module(cfg), from_config(cfg.data, _micro_batch(cfg), cfg.train.seed)
    data.setup()
    generation, scored = assemble.generation(cfg), suite(cfg, data)
    checkpoint = _checkpoint(cfg, module)
    _settle_budget(cfg, module)
    run = _open_run(cfg)
    with _tracked(cfg, run) as recorder:
        if not _is_helper():
            _announce(cfg, module, recorder)
        parts = _callbacks(cfg, module, generation, scored, recorder)
        trainer = _trainer(cfg, module, parts, recorder)
        trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
        if trainer.is_global_zero:
            _finish(cfg, module, parts, recorder)
            print(f"run: {run.path}")
    return run


@dataclass(frozen=True)
class Parts:
    """The callbacks, by what they do."""

    ema: EmaWeights
    samples: Samples
    evaluation: Evaluation | None
    noise_loss: NoiseLoss
    throughput: Throughput
    checkpoint: LastCheckpoint

    def all(self) -> list[pl.Callback]:
        parts = (self.ema, self.noise_loss, self.throughput, self.samples, self.evaluation, self.checkpoint)
        return [p for p in parts if p is not None]


def _is_helper() -> bool:
    """Whether this process is a further rank, started by the one that has opened the run."""
    return RUN_VARIABLE in os.environ and int(os.environ.get("LOCAL_RANK", 0)) > 0


def _open_run(cfg: DictConfig) -> Run:
    """The run directory with its config.yaml: a new one, the one to resume, or the one that rank 0 has opened."""
    if _is_helper():
        return Run(Path(os.environ[RUN_VARIABLE]))
    run = find_run(cfg.resume) if cfg.resume is not None else new_run(Path(cfg.runs), cfg.name)
    if cfg.logger.kind == "wandb" and cfg.logger.run_id is None:
        cfg.logger.run_id = uuid.uuid4().hex[:8]
    run.write_config(cfg)
    os.environ[RUN_VARIABLE] = str(run.path)
    return run


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
    denoiser = assemble.denoiser(cfg).to(memory_format=torch.channels_last)
    t = cfg.train
    return Diffusion(denoiser, assemble.objective(cfg), build(cfg.optim), t.total_nimg, t.seed, t.grad_clip)


def _settle_budget(cfg: DictConfig, module: Diffusion) -> None:
    """Fix train.total_nimg: a whole number of steps, or what train.minutes allows."""
    batch = cfg.train.batch_size
    if cfg.train.minutes is not None:
        if not isinstance(cfg.train.minutes, int | float) or cfg.train.minutes <= 0:
            raise DifflabError(f"train.minutes={cfg.train.minutes}: a budget is a number above 0, or null")
        cfg.train.total_nimg = images_in(float(cfg.train.minutes), module, tuple(cfg.data.shape), batch)
        cfg.train.minutes = None
    cfg.train.total_nimg = -(-cfg.train.total_nimg // batch) * batch
    module.total_nimg = cfg.train.total_nimg


@contextmanager
def _tracked(cfg: DictConfig, run: Run) -> Iterator[Recorder]:
    """A recorder whose trackers are closed whatever happens."""
    loggers = [] if _is_helper() else open_loggers(cfg, run)
    failed = True
    try:
        yield Recorder(run, loggers)
        failed = False
    finally:
        close_loggers(loggers, failed)


def _announce(cfg: DictConfig, module: Diffusion, recorder: Recorder) -> None:
    net = module.denoiser.net
    size = f"{parameters(net) / 1e6:.2f} M parameters, {gflop_per_image(net, cfg.data.shape):.3f} GFLOP/image"
    print(f"{cfg.name}: {size}, {cfg.train.total_nimg:,} images of {cfg.data.name} -> {recorder.run.path}")
    if where := describe_loggers(recorder.loggers):
        print(where)


def _callbacks(
    cfg: DictConfig, module: Diffusion, generation: Generation, scored: Suite | None, recorder: Recorder
) -> Parts:
    c = cfg.callbacks
    ema = EmaWeights(**cfg.ema)
    evaluation = scored and Evaluation(scored, generation, ema, recorder, **c.evaluation, batch=c.samples.batch)
    cost = gflop_per_image(module.denoiser.net, cfg.data.shape)
    return Parts(
        ema=ema,
        samples=Samples(generation, ema, recorder, **c.samples),
        evaluation=evaluation or None,
        noise_loss=NoiseLoss(recorder, **c.noise_loss),
        throughput=Throughput(recorder, c.throughput.every_nimg, cost),
        checkpoint=LastCheckpoint(recorder, **c.checkpoint),
    )


def _trainer(cfg: DictConfig, module: Diffusion, parts: Parts, recorder: Recorder) -> pl.Trainer:
    t = cfg.trainer
    if t.tf32:
        torch.set_float32_matmul_precision("high")
    if t.compile:
        module.denoiser.net.compile()  # in place, so that the names of the weights stay
    return pl.Trainer(
        accelerator=t.accelerator,
        devices=t.devices,
        strategy=t.strategy,
        precision=t.precision,
        max_epochs=-1,
        max_steps=cfg.train.total_nimg // cfg.train.batch_size,
        accumulate_grad_batches=cfg.train.accumulate,
        callbacks=parts.all(),
        logger=list(recorder.loggers),
        default_root_dir=recorder.run.path,
        use_distributed_sampler=False,  # the stream knows its rank
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1_000_000,
    )


def _checkpoint(cfg: DictConfig, module: Diffusion) -> Path | None:
    """What to resume from, if anything; its weights must fit."""
    if cfg.resume is None:
        return None
    run = find_run(cfg.resume)
    weights = load_checkpoint(run.checkpoint)["state_dict"]
    check_weights(module.denoiser, {k.removeprefix("denoiser."): v for k, v in weights.items()}, run)
    return run.checkpoint


def _finish(cfg: DictConfig, module: Diffusion, parts: Parts, recorder: Recorder) -> None:
    """The last grid, the film, the figures and result.json."""
    picture = parts.samples.write(module)
    film = _film(module, parts, recorder)
    figures = parts.evaluation.measure(module, cfg.metrics.n) if parts.evaluation else []
    write_result(recorder, figures, module.nimg, parts.throughput.img_per_s)
    for figure in figures:
        print(figure)
    print(f"samples: {picture}\nfilm: {film}")


def _film(module: Diffusion, parts: Parts, recorder: Recorder) -> Path:
    path = recorder.run.samples / "reverse.gif"
    with parts.ema.applied(module):
        frames = parts.samples.generation.film(module.denoiser, parts.samples.seed, range(16), module.device)
        save_gif(path, [grid(f, scale=4) for f in frames], ms=120)
    recorder.picture(module.nimg, "samples/reverse", path)
    return path
