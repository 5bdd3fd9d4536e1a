"""Says early whether a run is where the seeds of its experiment were, and logs the band beside it."""

from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig

from difflab.bands import comparable as bands
from difflab.bands.comparable import Band
from difflab.bands.verdict import Verdict, judge
from difflab.runs.directory import read_metrics
from difflab.tracking import Recorder

NUMBERS = {"below": -1, "inside": 0, "above": 1}  # of band/verdict


class OnTrack(pl.Callback):
    """Judges a run at every end of a cell of its band, and when it ends; says so at first and whenever it changes.

    It has no state: all is in metrics.jsonl, so that a resumed run is judged alike.
    """

    def __init__(self, recorder: Recorder, cfg: DictConfig) -> None:
        self.recorder, self.cfg = recorder, cfg
        self.band: Band | None = None
        self.final = Verdict("unknown", bands.why_none(cfg) or "not judged yet")
        self._said: str | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if not trainer.is_global_zero:
            return
        self.band = bands.of(self.cfg)  # not before: train.total_nimg is settled now
        if self.band is None:
            print(self.final.text)
        elif self.band.no_figures is not None:
            print(f"reference band: of noise levels alone, since {self.band.no_figures}")

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.band is None or not (trainer.is_global_zero and pl_module.stepped):
            return
        if pl_module.nimg < pl_module.total_nimg and self._ended(pl_module):
            self._judge(self.band, pl_module)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """After the figures of the end."""
        if self.band is not None and trainer.is_global_zero:
            self.final = self._judge(self.band, pl_module)

    def _ended(self, module: Any) -> list[int]:
        """The ends that the optimiser step which has just ended passed."""
        assert self.band is not None
        return [end for end in self.band.ends if module.nimg_before < end <= module.nimg]

    def _judge(self, band: Band, module: Any) -> Verdict:
        rows = read_metrics(self.recorder.run)
        verdict = judge(band, rows, self.cfg)
        beside = self._beside(band, rows, self._ended(module))
        if verdict.state in NUMBERS:
            beside["band/verdict"] = NUMBERS[verdict.state]
        if beside:
            self.recorder.log(module.nimg, beside)
        if verdict.state != self._said and module.nimg < module.total_nimg:
            print(verdict.text)
        self._said = verdict.state
        return verdict

    def _beside(self, band: Band, rows: list[dict[str, Any]], ended: list[int]) -> dict[str, float]:
        """The bands at these ends, with the run's own values, where they compare."""
        found: dict[str, float] = {}
        until = bands.comparable_until(band, self.cfg)
        for name, curve in band.curves.items():
            own = band.values_of(rows, name)
            for end, low, high in zip(curve.ends, curve.low, curve.high, strict=True):
                if end in ended and end in own and end <= until:
                    found |= {f"band/{name}/low": low, f"band/{name}/high": high, f"band/{name}/run": own[end]}
        return found
