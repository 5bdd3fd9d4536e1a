"""The figures of the averaged weights: a cheap proxy often, all of them rarely, and at the end."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl

from difflab.callbacks.best import Best
from difflab.callbacks.due import due
from difflab.callbacks.ema import EmaWeights
from difflab.callbacks.shared import shared_reading
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
            return f"figures/{figure.name}/n={self.n}"
        return f"proxy/{figure.name}/n={self.n}/nfe={figure.protocol['nfe'] or 'any'}"


class Evaluation(pl.Callback):
    """Measures plans when they are due and time allows; every rank samples its share and knows every figure.

    What is due and finds no time is owed, and tried again whenever anything is due. Randomness and weights of
    training are untouched, so a run trains alike whatever is measured.
    """

    def __init__(
        self,
        suite: Suite,
        plans: Collection[Plan],
        ema: EmaWeights,
        recorder: Recorder,
        best: Best,
        share: float | None,
        seed: int,
        batch: int,
    ) -> None:
        self.suite, self.plans, self.ema, self.recorder = suite, plans, ema, recorder
        self.best, self.seed, self.batch = best, seed, batch
        self.time = TimeShare(share, [plan.kind for plan in plans if plan.every_nimg is not None])
        self.end = TimeShare(None, [plan.kind for plan in plans])
        self.owed: set[str] = set()
        self.left_out = 0
        self.final: list[Figure] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        now = {plan.kind for plan in self.plans if due(plan.every_nimg, pl_module)}
        if not now or pl_module.nimg >= pl_module.total_nimg:  # the end has figures of its own
            return
        for plan in self.plans:
            if plan.kind in now | self.owed:
                self._measure_or_owe(trainer, pl_module, plan, plan.kind in now)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """All ranks are still there: the final figures take 1 / world of the time."""
        pl_module.to(trainer.strategy.root_device)  # Lightning has taken it off a GPU
        for plan in self.plans:
            if plan.kind == "full" or self.best.counts(plan.kind):
                with self.end.spending(plan.kind):
                    figures = self.measure(pl_module, plan)
                self.final = figures if plan.kind == "full" else self.final

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
            self.best.consider(module, plan.kind, figures, self.suite.name_of)
        return figures

    def _measure_or_owe(self, trainer: pl.Trainer, module: Any, plan: Plan, is_due: bool) -> None:
        if self._allowed(trainer, module, plan):
            self.owed.discard(plan.kind)
            with self.time.spending(plan.kind):
                self.measure(module, plan)
            return
        self.owed.add(plan.kind)
        if is_due:
            self.left_out += 1
            if trainer.is_global_zero:
                self.recorder.log(module.nimg, {f"left_out/{plan.kind}": self.left_out})

    def _allowed(self, trainer: pl.Trainer, module: Any, plan: Plan) -> bool:
        """As rank 0's clock says, so that all ranks agree."""
        elapsed = self.recorder.wall_s
        # A third of a training step is a pass through the network, and sampling takes one an evaluation.
        estimate = plan.n * plan.evaluations * elapsed / (3 * max(1, module.nimg))
        return bool(trainer.strategy.broadcast(self.time.allows(plan.kind, elapsed, estimate)))

    def state_dict(self) -> dict[str, Any]:
        return {"time": self.time.state_dict(), "owed": sorted(self.owed), "left_out": self.left_out}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.time.load_state_dict(state_dict["time"])
        self.owed = set(state_dict["owed"]) & self.time.spent.keys()
        self.left_out = state_dict["left_out"]
