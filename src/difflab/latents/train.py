"""difflab train objective=reconstruction: an autoencoder, in a run directory like any other."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig

from difflab.callbacks.checkpoint import LastCheckpoint
from difflab.callbacks.throughput import Throughput
from difflab.config.instantiate import build
from difflab.data.image_data import ImageData
from difflab.latents.callbacks import BeforeAndAfter, ReconstructionLog
from difflab.latents.lit import Autoencoding
from difflab.latents.opened import autoencoder_weights
from difflab.metrics.protocol import lines
from difflab.nets.cost import gflop_of_call
from difflab.report import reported
from difflab.rng import first_weights
from difflab.runs.directory import Run
from difflab.runs.result import write_result
from difflab.runs.weights import check_weights
from difflab.tracking import Recorder
from difflab.training.session import Checkpoint, planned_run
from difflab.training.trainer import announce, fitted, load_data, settle_budget


def train(cfg: DictConfig) -> Run:
    """Train, reconstruct, score; the last line printed is `run: <run directory>`.

    Everything is built, and refused, before a run directory is made or changed.
    """
    module, data = prepared(cfg)
    checkpoint = Checkpoint.of(cfg, lambda run, contents: _check_resumes(module, run, contents))
    if (run := checkpoint.finished_run(cfg)) is not None:
        return run
    recorder = Recorder(planned_run(cfg))
    callbacks = assemble_callbacks(cfg, module, data, recorder)
    settle_budget(cfg, module, data, checkpoint.nimg)
    if cfg.trainer.compile:
        for half in (module.objective.autoencoder.encoder, module.objective.autoencoder.decoder):
            half.compile()  # in place, so that the names of the weights stay
    begin = partial(announce, cfg, recorder, module, _gflop(module, cfg.data.shape))
    end = partial(_finish, module, callbacks, recorder)
    return fitted(cfg, module, data, callbacks, recorder, checkpoint, begin, end)


def prepared(cfg: DictConfig) -> tuple[Autoencoding, ImageData]:
    """The module before its first step, and the pictures that it is trained on."""
    data = load_data(cfg)
    return untrained(cfg), data


def untrained(cfg: DictConfig) -> Autoencoding:
    """The module before its first step. Raises DifflabError for an autoencoder that does not fit the pictures."""
    t = cfg.train
    with first_weights(t.seed):
        objective = build(cfg.objective)
    return Autoencoding(objective, build(cfg.optim), t.total_nimg, t.seed, t.grad_clip)


def assemble_callbacks(
    cfg: DictConfig, module: Autoencoding, data: ImageData, recorder: Recorder
) -> tuple[ReconstructionLog, Throughput, BeforeAndAfter, LastCheckpoint]:
    c, cost = cfg.callbacks, _gflop(module, cfg.data.shape)
    return (
        ReconstructionLog(recorder, c.noise_loss.every_nimg),
        Throughput(recorder, c.throughput.every_nimg, cost),
        BeforeAndAfter(recorder, data.val, f"{data.name}/val", c.samples.every_nimg, c.samples.n),
        LastCheckpoint(recorder, **c.checkpoint),
    )


def _finish(module: Autoencoding, callbacks: Sequence[pl.Callback], recorder: Recorder) -> None:
    """Write and print the fidelity, the last picture, result.json and the report."""
    (shown,) = (c for c in callbacks if isinstance(c, BeforeAndAfter))
    (speed,) = (c for c in callbacks if isinstance(c, Throughput))
    figure = shown.write(module)
    result = write_result(recorder, [figure], module.nimg, speed.session.per_second or None, {})
    recorder.tracker.finished(recorder.run, result)
    print(*lines([figure]), sep="\n")
    print(f"before and after: {shown.path(module.nimg)}")
    print(reported(recorder.run.path))


def _check_resumes(module: Autoencoding, run: Run, contents: dict[str, Any]) -> None:
    check_weights(module.objective.autoencoder, autoencoder_weights(contents), run)


def _gflop(module: Autoencoding, shape: Sequence[int]) -> float:
    """Of an image to its latents and back."""
    autoencoder = module.objective.autoencoder
    return gflop_of_call(lambda x: autoencoder.decode(autoencoder.encode(x)), shape)
