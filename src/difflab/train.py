"""difflab train: from a configuration to a run directory."""

from functools import partial
from typing import Any

from omegaconf import DictConfig

from difflab import assemble
from difflab.callbacks.parts import assemble_callbacks
from difflab.conditions.asked import drawn
from difflab.config.instantiate import build
from difflab.data.image_data import ImageData
from difflab.latents.codec import Codec
from difflab.latents.opened import encode_data
from difflab.latents.settings import trains_autoencoder
from difflab.lit import Diffusion
from difflab.nets.cost import gflop_of
from difflab.nets.unet import warn_of_idle_attention
from difflab.processes import device_of
from difflab.runs.directory import Run
from difflab.runs.power_weights import check_tracked
from difflab.runs.weights import check_weights, denoiser_weights
from difflab.scoring.score import suite
from difflab.tracking import Recorder
from difflab.training.finish import finish
from difflab.training.quiet import quiet_lightning
from difflab.training.session import Checkpoint, begun, is_helper, opened_by_rank_0, planned_run
from difflab.training.trainer import announce, check_devices, fitted, load_data, settle_budget


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
    module, data, codec = prepared(cfg)
    generation = assemble.generation(cfg).asking(drawn(module.denoiser.condition, data)).decoding(codec)
    scored = suite(cfg, data, device_of(cfg.trainer, rank=0))
    checkpoint = Checkpoint.of(cfg, lambda run, contents: _check_resumes(cfg, module, run, contents))
    if (run := checkpoint.finished_run(cfg)) is not None:
        return run
    recorder = Recorder(planned_run(cfg))
    parts = assemble_callbacks(cfg, module, generation, scored, recorder)
    settle_budget(cfg, module, data, checkpoint.nimg)
    if cfg.trainer.compile:
        module.denoiser.net.compile()  # in place, so that the names of the weights stay

    def begin() -> None:
        if codec is not None:
            codec.write(recorder.run.codec)
        announce(cfg, recorder, module.denoiser, gflop_of(module.denoiser, cfg.latent.shape))
        _warn_of_mixed_classes(data, module)
        warn_of_idle_attention(module.denoiser.net)
        if scored is not None:
            _ = scored.reference  # in the cache before other ranks are started: none waits for it

    end = partial(finish, module, parts, recorder)
    return fitted(cfg, module, data, parts.all(), recorder, checkpoint, begin, end)


def prepared(cfg: DictConfig) -> tuple[Diffusion, ImageData, Codec | None]:
    """The module before its first step, the pictures or latents that it is trained on, and what decodes these."""
    data = load_data(cfg)
    codec = encode_data(cfg, data, device_of(cfg.trainer, rank=0), begun(cfg))
    module = untrained(cfg)
    module.denoiser.condition.prepare(data.prompts)
    return module, data, codec


def untrained(cfg: DictConfig) -> Diffusion:
    """The module before its first step. Raises DifflabError for choices that can't work together."""
    denoiser, objective, t = assemble.denoiser(cfg), assemble.objective(cfg), cfg.train
    assemble.check(denoiser, objective)
    return Diffusion(denoiser, objective, build(cfg.optim), t.total_nimg, t.seed, t.grad_clip)


def _check_resumes(cfg: DictConfig, module: Diffusion, run: Run, contents: dict[str, Any]) -> None:
    """Raises DifflabError where a checkpoint's weights don't fit the network, or the run tracks other averages."""
    check_weights(module.denoiser, denoiser_weights(contents), run)
    check_tracked(run, contents, cfg.callbacks.power_ema.sigma_rel)


def _warn_of_mixed_classes(data: ImageData, module: Diffusion) -> None:
    if module.objective.coupling.mixes_classes and data.classes:
        print(
            f"warning: this coupling lets the {len(data.classes)} classes of {data.name} compete for the noise, so "
            "that of a class is no longer standard normal: for a network that reads labels, set coupling=independent"
        )
