"""The callbacks of a run, by what they do."""

from dataclasses import dataclass

import pytorch_lightning as pl
from omegaconf import DictConfig

from difflab.callbacks.checkpoint import LastCheckpoint
from difflab.callbacks.ema import EmaWeights
from difflab.callbacks.evaluation import Evaluation
from difflab.callbacks.film import Film
from difflab.callbacks.noise_loss import NoiseLoss
from difflab.callbacks.on_track import OnTrack
from difflab.callbacks.plans import assemble_evaluation
from difflab.callbacks.power_ema import PowerEma
from difflab.callbacks.samples import Samples
from difflab.callbacks.snapshots import KeptAverages
from difflab.callbacks.throughput import Throughput
from difflab.generation import Generation
from difflab.lit import Diffusion
from difflab.metrics.suite import Suite
from difflab.nets.cost import gflop_of
from difflab.tracking import Recorder


@dataclass(frozen=True)
class Parts:
    ema: EmaWeights
    samples: Samples
    film: Film
    evaluation: Evaluation | None
    noise_loss: NoiseLoss
    throughput: Throughput
    on_track: OnTrack
    snapshots: KeptAverages
    power_ema: PowerEma
    checkpoint: LastCheckpoint

    def all(self) -> list[pl.Callback]:
        parts = (self.ema, self.noise_loss, self.throughput, self.samples, self.film, self.evaluation, self.on_track)
        return [*(p for p in parts if p is not None), self.snapshots, self.power_ema, self.checkpoint]


def assemble_callbacks(
    cfg: DictConfig, module: Diffusion, generation: Generation, scored: Suite | None, recorder: Recorder
) -> Parts:
    c = cfg.callbacks
    ema = EmaWeights(**cfg.ema)
    evaluation = None if scored is None else assemble_evaluation(cfg, generation, scored, ema, recorder)
    cost = gflop_of(module.denoiser, cfg.latent.shape)
    return Parts(
        ema=ema,
        samples=Samples(generation, ema, recorder, **c.samples),
        film=Film(generation, ema, recorder, c.samples.seed, **c.film),
        evaluation=evaluation,
        noise_loss=NoiseLoss(ema, recorder, **c.noise_loss),
        throughput=Throughput(recorder, c.throughput.every_nimg, cost),
        on_track=OnTrack(recorder, cfg),
        snapshots=KeptAverages(ema, recorder, **c.snapshots),
        power_ema=PowerEma(recorder, **c.power_ema),
        checkpoint=LastCheckpoint(recorder, **c.checkpoint),
    )
