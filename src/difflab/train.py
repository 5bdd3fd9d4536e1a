"""difflab train: from a configuration to a run directory."""

from typing import Any

from omegaconf import DictConfig

from difflab import assemble
from difflab.callbacks.parts import assemble_callbacks
from difflab.conditions.asked import drawn
from difflab.data.module import ImageData
from difflab.finish import finish
from difflab.instantiate import build
from difflab.latents.opened import encode_data
from difflab.latents.settings import trains_autoencoder
from difflab.lit import Diffusion
from difflab.nets.cost import gflop_of, parameters
from difflab.power_weights import check_tracked
from difflab.processes import device_of
from difflab.quiet import quiet_lightning
from difflab.runs import Run
from difflab.score import suite
from difflab.session import Checkpoint, begun, is_helper, opened, opened_by_rank_0, planned_run, stopped_gently
from difflab.tracking import Recorder
from difflab.trainer import check_devices, lightning, load_data, settle_budget
from difflab.weights import check_weights, denoiser_weights


def main(cfg: DictConfig) -> Run:
    """Train, sample, score; the last line printed is `run: <run directory>`.

    Everything is built, and refused, before a run directory is made or changed.
    """
    quiet_lightning()
    if is_helper():
        cfg = Run(opened_by_rank_0()).read_config()
    check_devices(cfg.trainer)
    if trains_autoencoder(cfg):
        from difflab.latents.train import train

        return train(cfg)
    data = load_data(cfg)
    codec = encode_data(cfg, data, device_of(cfg.trainer, rank=0), begun(cfg))
    module = untrained(cfg)
    module.denoiser.condition.prepare(data.prompts)
    generation = assemble.generation(cfg).asking(drawn(module.denoiser.condition, data)).decoding(codec)
    scored = suite(cfg, data, device_of(cfg.trainer, rank=0))
    checkpoint = Checkpoint.of(cfg, lambda run, contents: _check_resumes(cfg, module, run, contents))
    if (run := checkpoint.finished_run(cfg)) is not None:
        return run
    recorder = Recorder(planned_run(cfg))
    parts = assemble_callbacks(cfg, module, generation, scored, recorder)
    settle_budget(cfg, module)
    if cfg.trainer.compile:
        module.denoiser.net.compile()  # in place, so that the names of the weights stay
    trainer = lightning(cfg, module, parts.all(), recorder.run, checkpoint)
    with opened(cfg, recorder, checkpoint):
        if not is_helper():
            if codec is not None:
                codec.write(recorder.run.codec)
            _announce(cfg, data, module, recorder)
            if scored is not None:
                _ = scored.reference  # in the cache before other ranks are started: none waits for it
        with stopped_gently(recorder.run, module):
            trainer.fit(module, data, ckpt_path=checkpoint.path, weights_only=True)
        if trainer.is_global_zero:
            finish(module, parts, recorder)
            print(f"run: {recorder.run.path}")
    return recorder.run


def untrained(cfg: DictConfig) -> Diffusion:
    """The module before its first step. Raises DifflabError for choices that can't work together."""
    denoiser, objective, t = assemble.denoiser(cfg), assemble.objective(cfg), cfg.train
    assemble.check(denoiser, objective)
    return Diffusion(denoiser, objective, build(cfg.optim), t.total_nimg, t.seed, t.grad_clip)


def _check_resumes(cfg: DictConfig, module: Diffusion, run: Run, contents: dict[str, Any]) -> None:
    """Raises DifflabError where a checkpoint's weights don't fit the network, or the run tracks other averages."""
    check_weights(module.denoiser, denoiser_weights(contents), run)
    check_tracked(run, contents, cfg.callbacks.power_ema.sigma_rel)


def _announce(cfg: DictConfig, data: ImageData, module: Diffusion, recorder: Recorder) -> None:
    denoiser = module.denoiser
    size = f"{parameters(denoiser) / 1e6:.2f} M parameters, {gflop_of(denoiser, cfg.latent.shape):.3f} GFLOP/image"
    print(f"{cfg.name}: {size}, {cfg.train.total_nimg:,} images of {cfg.data.name} -> {recorder.run.path}")
    if recorder.tracker.where:
        print(recorder.tracker.where)
    if module.objective.coupling.mixes_classes and data.classes:
        print(
            f"warning: this coupling lets the {len(data.classes)} classes of {cfg.data.name} compete for the noise, so "
            "that of a class is no longer standard normal: for a network that reads labels, set coupling=independent"
        )
