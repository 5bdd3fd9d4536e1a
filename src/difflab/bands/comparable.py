"""Am I on track? What the seeds of an experiment had at the same number of images.

A band is, at every cell of images, the interval that the next seed falls into with probability LEVEL: in the logarithm,
mean +- t * sd * sqrt(1 + 1/seeds), with one sd for all cells of a curve (Student's t of its degrees of freedom).
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from scipy.special import stdtrit

from difflab.bands import band_file
from difflab.bands.band_file import FIGURES, LOSSES, TRAINING, first_difference, settings_of
from difflab.bands.row_means import Rows
from difflab.config.instantiate import build

LEVEL = 0.99
LR_FACTOR = 1.15  # runs whose learning rates differ by more, at the same image, are not compared,
LR_SHARE = 0.04  # unless it is by less than this share of the band's highest, as at the end, where rates fall to 0


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


def why_none(cfg: DictConfig) -> str | None:
    """Why a run of these settings has no band, in one line; None: it has one."""
    found = band_file.contents_of(cfg.name)
    if not found:
        return f"no reference band for {cfg.name}: seeds were trained here for {', '.join(band_file.shipped())} alone"
    differences = [_other_training(cfg, there) for there in found]
    return None if None in differences else f"no reference band for this {cfg.name}: {differences[0]}"


def of(cfg: DictConfig) -> Band | None:
    """The band of the experiment of `cfg` that compares for longest; None where `why_none` says why.

    Curves of figures are left out where they are made otherwise here, which `no_figures` names.
    """
    found = [read(there, cfg) for there in band_file.contents_of(cfg.name) if _other_training(cfg, there) is None]
    return max(found, key=lambda band: comparable_until(band, cfg), default=None)


def _other_training(cfg: DictConfig, there: dict[str, Any]) -> str | None:
    return first_difference(settings_of(cfg, TRAINING), there["training"], "its seeds have")


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


def comparable_until(band: Band, cfg: DictConfig) -> int:
    """The last of the band's ends by which the learning rate was about that of its seeds; 0: none."""
    lr_at = build(cfg.optim).lr_at
    own, theirs = ([lr_at(end, total) for end in band.ends] for total in (cfg.train.total_nimg, band.total_nimg))
    little = LR_SHARE * max(theirs)
    last = 0
    for end, a, b in zip(band.ends, own, theirs, strict=True):
        if abs(a - b) > max(little, (LR_FACTOR - 1) * min(a, b)):
            break
        last = end
    return last


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
