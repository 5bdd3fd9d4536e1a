"""The figures of the averaged weights: a cheap proxy often, all of them rarely, and at the end."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl

from difflab.callbacks.best import Best
from difflab.callbacks.due import due
from difflab.callbacks.ema import EmaWeights
from difflab.callbacks.shared_reading import shared_reading
from difflab.callbacks.time_share import TimeShare
from difflab.generation import Generation
from difflab.metrics.protocol import Figure
from difflab.metrics.suite import Suite
from difflab.tracking import Recorder


@dataclass(frozen=True)
class Plan:
    """One kind of evaluation: `n` samples by `generation`, every `every_nimg` images (None: never while training).

    kind: "proxy" or "full". only: the measures that are taken; None: all of the suite.
    """

    kind: str
    generation: Generation
    n: int
    every_nimg: int | None
    only: Collection[str] | None = None

    @property
    def evaluations(self) -> int:
        """Of the denoiser for a sample; a guess where the sampler decides."""
        nfe: int | None = self.generation.protocol["nfe"]
        return 100 if nfe is None else nfe

    def row(self, figure: Figure) -> str:
        """What its curve is called: figures of other n or NFE are other curves."""
        if self.kind == "full":
            return f"{figure.name}/n={self.n}"
        return f"proxy/{figure.name}/n={self.n}/nfe={figure.protocol['nfe'] or 'any'}"


class Evaluation(pl.Callback):
    """Measures plans when they are due and time allows; every rank samples its share and knows every figure.

    Randomness and weights of training are untouched, so a run trains alike whatever is measured.
    """

    def __init__(
        self,
        suite: Suite,
        plans: Collection[Plan],
        ema: EmaWeights,
        recorder: Recorder,
        best: Best,
        time: TimeShare,
        seed: int,
        batch: int,
    ) -> None:
        self.suite, self.plans, self.ema, self.recorder = suite, plans, ema, recorder
        self.best, self.time, self.seed, self.batch = best, time, seed, batch
        self.final: list[Figure] = []
        self.left_out = 0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Rank 0 puts the reference into the cache before the others read it there."""
        if trainer.is_global_zero:
            with self.time.spending("reference"):
                _ = self.suite.reference
        trainer.strategy.barrier()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        for plan in self.plans:
            if pl_module.nimg < pl_module.total_nimg and due(plan.every_nimg, pl_module):
                if self._allowed(trainer, pl_module, plan):
                    with self.time.spending(plan.kind):
                        self.measure(pl_module, plan)
                else:
                    self.left_out += 1

    def on_fit_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """All ranks are still there: the final figures take 1 / world of the time."""
        (full,) = (plan for plan in self.plans if plan.kind == "full")
        self.final = self.measure(pl_module, full)

    def measure(self, module: Any, plan: Plan) -> list[Figure]:
        """The figures of the first samples of the seed, logged by rank 0 with their protocol."""
        label = "samples" if plan.kind == "full" else "proxy samples"
        with self.ema.applied(module):
            made = shared_reading(module, plan.generation, self.suite.extractor, plan.n, self.seed, self.batch, label)
        protocol = plan.generation.protocol | {
            "weights": "ema",
            "ema_halflife_nimg": self.ema.halflife_nimg,
            "sample_seed": self.seed,
            "nimg": module.nimg,
        }
        figures = self.suite.figures(made, protocol, plan.only)
        if module.trainer.is_global_zero:
            self.recorder.figures(module.nimg, {plan.row(figure): figure for figure in figures})
        self.best.consider(module, plan.kind, self._chosen(figures))
        return figures

    def _allowed(self, trainer: pl.Trainer, module: Any, plan: Plan) -> bool:
        """As rank 0's clock says, so that all ranks agree."""
        elapsed = self.recorder.wall_s
        # A third of a training step is a pass through the network, and sampling takes one an evaluation.
        estimate = plan.n * plan.evaluations * elapsed / (3 * max(1, module.nimg) * trainer.world_size)
        return bool(trainer.strategy.broadcast(self.time.allows(plan.kind, elapsed, estimate)))

    def _chosen(self, figures: list[Figure]) -> Figure | None:
        """The figure that the best weights are chosen by."""
        if self.best.figure is None:
            return None
        name = self.suite.name_of(self.best.figure)
        return next((figure for figure in figures if figure.name == name), None)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["figures_s"] = self.time.spent

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        self.time.spent = checkpoint.get("figures_s", 0.0)
