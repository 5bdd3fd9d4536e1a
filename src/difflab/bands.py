"""Am I on track? What the seeds of an experiment had at the same number of images, and where a run lies beside it.

A band is, at every cell of images, the interval that the next seed falls into with probability LEVEL: in the logarithm,
mean +- t * sd * sqrt(1 + 1/seeds), with one sd for all cells of a curve (Student's t of its degrees of freedom).
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from omegaconf import DictConfig, OmegaConf
from scipy.special import stdtrit

from difflab import band_file
from difflab.band_file import FIGURES, LOSSES, TRAINING, first_difference, settings_of
from difflab.instantiate import build
from difflab.row_means import Rows

LEVEL = 0.99
OUTSIDE = 2  # a run is outside when so many noise levels are, or so many figures, on the same side: one is chance
LR_FACTOR = 1.15  # runs whose learning rates differ by more, at the same image, are not compared

State = Literal["inside", "above", "below", "unknown"]


@dataclass(frozen=True)
class BandCurve:
    """Low and high at each of `nimg`, which is where they are drawn beside a run's own rows.

    ends: the images by which a run knows its value: the end of a cell, of which `nimg` is the middle; of a figure the
    two are one.
    """

    nimg: list[int]
    low: list[float]
    high: list[float]
    ends: list[int]


@dataclass(frozen=True)
class Band:
    """The reference band of an experiment, by the names of a run's rows.

    cell_nimg: images that a loss is averaged over. no_figures: why figures are left out; None: they are not.
    """

    experiment: str
    seeds: int
    total_nimg: int
    cell_nimg: int
    curves: dict[str, BandCurve]
    no_figures: str | None

    @cached_property
    def ends(self) -> list[int]:
        """All the images at which a run knows a new value."""
        return sorted({end for curve in self.curves.values() for end in curve.ends})

    def values_of(self, rows: Rows, name: str) -> dict[int, float]:
        """A run's own values of a curve by `ends`, to draw or to judge beside it."""
        return band_file.values_of(rows, name, self.cell_nimg)


@dataclass(frozen=True)
class Verdict:
    """Where a run lies, and a line that says so with its images and values."""

    state: State
    text: str


def why_none(cfg: DictConfig) -> str | None:
    """Why a run of these settings has no band, in one line; None: it has one."""
    path = band_file.path_of(cfg.name)
    if not path.is_file():
        return f"no reference band for {cfg.name}: seeds were trained here for {', '.join(_shipped())} alone"
    there = json.loads(path.read_text())["training"]
    difference = first_difference(settings_of(cfg, TRAINING), there, "its seeds have")
    return difference and f"no reference band for this {cfg.name}: {difference}"


def of(cfg: DictConfig) -> Band | None:
    """The band of the experiment of `cfg`; None where `why_none` says why. Curves of figures are left out where
    they are made otherwise here, which `no_figures` names."""
    return None if why_none(cfg) else read(json.loads(band_file.path_of(cfg.name).read_text()), cfg)


def read(found: dict[str, Any], cfg: DictConfig) -> Band:
    """The band in a file's content, for a run of `cfg`."""
    measures = OmegaConf.select(cfg, "metrics.extractor") is not None
    difference = first_difference(settings_of(cfg, FIGURES), found["figures"], "its seeds have")
    difference = difference if measures else "this run measures no figures"
    kept = {name: c for name, c in found["curves"].items() if difference is None or name.startswith(LOSSES)}
    curves = {
        name: _curve(c["nimg"], c["values"], found["cell_nimg"] // 2 if name.startswith(LOSSES) else 0)
        for name, c in kept.items()
    }
    return Band(found["experiment"], len(found["seeds"]), found["total_nimg"], found["cell_nimg"], curves, difference)


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


def comparable_until(band: Band, cfg: DictConfig) -> int:
    """The last of the band's ends by which the learning rate was about that of its seeds; 0: none."""
    lr_at, last = build(cfg.optim).lr_at, 0
    for end in band.ends:
        if not _alike(lr_at(end, cfg.train.total_nimg), lr_at(end, band.total_nimg)):
            break
        last = end
    return last


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


def _alike(a: float, b: float) -> bool:
    return a == b or (min(a, b) > 0 and max(a, b) <= LR_FACTOR * min(a, b))


def _curve(ends: list[int], values: list[list[float]], back: int) -> BandCurve:
    """`values`: of each seed, at each end."""
    logs = np.log(np.array(values))
    cells, seeds = logs.shape
    freedom = cells * (seeds - 1)
    sd = math.sqrt(((logs - logs.mean(1, keepdims=True)) ** 2).sum() / freedom)
    half = stdtrit(freedom, (1 + LEVEL) / 2) * sd * math.sqrt(1 + 1 / seeds)
    middle = logs.mean(1)
    low, high = np.exp(middle - half).tolist(), np.exp(middle + half).tolist()
    return BandCurve([end - back for end in ends], low, high, ends)


def _shipped() -> list[str]:
    return sorted(path.stem for path in band_file.path_of("any").parent.glob("*.json"))
