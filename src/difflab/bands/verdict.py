"""Where a run lies beside its reference band, in one line."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from omegaconf import DictConfig

from difflab.bands.band_file import LOSSES
from difflab.bands.comparable import Band, comparable_until
from difflab.bands.row_means import Rows

OUTSIDE = 2  # a run is outside when so many noise levels are, or so many figures, on the same side: one is chance

State = Literal["inside", "above", "below", "unknown"]


@dataclass(frozen=True)
class Verdict:
    """Where a run lies, and a line that says so with its images and values."""

    state: State
    text: str


def judge(band: Band, rows: Rows, cfg: DictConfig) -> Verdict:
    """Where a run of settings `cfg` with these rows of metrics.jsonl lies, by the newest value of each curve."""
    rows = list(rows)
    until = comparable_until(band, cfg)
    seen = max((row["nimg"] for row in rows), default=0)
    newest = [found for name in band.curves if (found := _newest(band, name, rows, until))]
    known = _verdict(band, newest) if newest else None
    if beyond := _beyond(band, cfg, seen, until):
        before = f"; before that {known.text}" if known else ""
        return Verdict("unknown", f"no verdict at {seen:,} images: {beyond}{before}")
    return known or Verdict("unknown", f"no verdict at {seen:,} images: nothing is measured yet that the band has")


@dataclass(frozen=True)
class _Value:
    """A run's value of one curve beside its band."""

    name: str
    end: int
    value: float
    low: float
    high: float

    @property
    def is_loss(self) -> bool:
        return self.name.startswith(LOSSES)

    @property
    def state(self) -> State:
        return "above" if self.value > self.high else "below" if self.value < self.low else "inside"

    @property
    def excess(self) -> float:
        """How far from the middle, in widths of the band."""
        if self.value <= 0:
            return math.inf
        return abs(math.log(self.value**2 / (self.low * self.high))) / math.log(self.high / self.low)

    def __str__(self) -> str:
        return f"{self.name} is {self.value:.3g}, the band {self.low:.3g}..{self.high:.3g}"


def _verdict(band: Band, newest: Sequence[_Value]) -> Verdict:
    at = f"at {max(v.end for v in newest):,} images"
    for state in ("above", "below"):
        out = [v for v in newest if v.state == state]
        if max(sum(v.is_loss for v in out), sum(not v.is_loss for v in out)) >= OUTSIDE:
            worst = max(out, key=lambda v: v.excess)
            of_all = f"{len(out)} of {len(newest)} curves are outside of {band.seeds} seeds"
            return Verdict(state, f"{state} the band {at}: {worst}; {of_all} (docs/runs.md says what that means)")
    losses, figures = ([v.state == "inside" for v in newest if v.is_loss is kind] for kind in (True, False))
    parts = [f"{sum(losses)} of {len(losses)} noise levels"]
    parts += [f"{sum(figures)} of {len(figures)} figures"] if figures else []
    return Verdict("inside", f"on track {at}: {' and '.join(parts)} inside the band of {band.seeds} seeds")


def _newest(band: Band, name: str, rows: Rows, until: int) -> _Value | None:
    curve, own = band.curves[name], band.values_of(rows, name)
    known = [i for i, end in enumerate(curve.ends) if end in own and end <= until]
    if not known:
        return None
    end = curve.ends[known[-1]]
    return _Value(name, end, own[end], curve.low[known[-1]], curve.high[known[-1]])


def _beyond(band: Band, cfg: DictConfig, seen: int, until: int) -> str | None:
    """Why the newest images are not judged; None: they are."""
    later = next((end for end in band.ends if end > until), None)
    if later is None:
        return f"the band ends at {until:,}" if seen >= until + band.cell_nimg else None
    if seen < later:
        return None
    total = cfg.train.total_nimg
    how = "earlier" if total < band.total_nimg else "later"
    return (
        f"its learning rate falls {how} than the band's (train.total_nimg is {total:,}, the band's {band.total_nimg:,})"
    )
