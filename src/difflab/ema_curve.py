"""difflab evaluate from=RUN ema_lengths=[0.02,0.05,0.1]: the same figures of averages of several lengths."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from difflab import processes
from difflab.checkpoints import load_checkpoint
from difflab.ema import length
from difflab.errors import DifflabError
from difflab.evaluate import count, figures_of, shape_of
from difflab.files import write_json
from difflab.metrics.directions import higher_is_better
from difflab.metrics.protocol import Figure
from difflab.pictures.ema_curve import Curve, page
from difflab.pixels import save_png
from difflab.power_weights import mixed
from difflab.result import environment
from difflab.runs import Run, find_run, is_of_a_run, run_path
from difflab.score import data_of, suite_against
from difflab.sources import open_source
from difflab.weights import power_length


@dataclass(frozen=True)
class Lengths:
    """EMA lengths of a run as shares of its `nimg` images, rising; how much of each density the run can't express."""

    run: Run
    nimg: int
    mismatch: dict[float, float]
    own: float  # the length of the average while training


def main(cfg: DictConfig) -> Path:
    """Print a table, write <run>/ema_lengths/<time>.json and the picture of the curve beside it; returns the file."""
    lengths = _lengths(cfg)
    data, device = data_of(cfg), processes.device_of(cfg.trainer, 0)
    suite = suite_against(cfg, data, device)
    found: dict[str, list[Figure]] = {}
    for i, weights in enumerate(["ema", *map(_word, lengths.mismatch)]):
        print(f"{i + 1} of {len(lengths.mismatch) + 1}: weights={weights}")
        this = cfg.copy()
        this.weights = weights
        source = open_source(this, device, shape_of(this))
        found[weights] = figures_of(this, source, suite, count(this, source))
    return _report(cfg, lengths, found)


def _lengths(cfg: DictConfig) -> Lengths:
    """Raises DifflabError, before anything is made, for what is no list of lengths that the run can express."""
    if processes.by_torchrun():
        raise DifflabError("ema_lengths under torchrun: start one command instead, with trainer.devices=2")
    asked = cfg.ema_lengths
    if not isinstance(asked, Sequence) or isinstance(asked, str) or not asked:
        raise DifflabError(f"ema_lengths={asked}: a list of shares of the run, such as [0.02,0.05,0.1,0.15]")
    if not is_of_a_run(run_path(cfg["from"])):
        raise DifflabError(f"ema_lengths: from={cfg['from']} is no run, and only a run keeps averages of its weights")
    run = find_run(cfg["from"])
    checkpoint = load_checkpoint(run.chosen or run.checkpoint)
    shares = sorted({power_length(f"power:{share}") or 0.0 for share in asked})
    mismatch = {share: mixed(run, checkpoint, share).mismatch for share in shares}
    average = run.read_config().ema
    own = length(checkpoint["nimg"], average.halflife_nimg, average.rampup)
    return Lengths(run, checkpoint["nimg"], mismatch, own)


def _word(share: float) -> str:
    return f"power:{share:g}"


def curves_of(lengths: Lengths, found: Mapping[str, Sequence[Figure]]) -> list[Curve]:
    """One a figure."""
    return [_curve(lengths, i, found) for i in range(len(found["ema"]))]


def _curve(lengths: Lengths, i: int, found: Mapping[str, Sequence[Figure]]) -> Curve:
    figures = [found[_word(share)][i] for share in lengths.mismatch]
    own = found["ema"][i]
    higher = higher_is_better(own.name)
    return Curve(
        own.name, list(lengths.mismatch), [f.value for f in figures], [f.error for f in figures],
        lengths.own, own.value, own.error, higher,
    )  # fmt: skip


def _report(cfg: DictConfig, lengths: Lengths, found: Mapping[str, Sequence[Figure]]) -> Path:
    curves = curves_of(lengths, found)
    folder = lengths.run.outputs / "ema_lengths"
    out = Path(cfg.out) if cfg.out else folder / f"{datetime.now():%Y%m%d-%H%M%S-%f}.json"
    write_json(out, {
        "nimg": lengths.nimg,
        "mismatch": {_word(share): missed for share, missed in lengths.mismatch.items()},
        "best": {curve.name: _word(curve.best) for curve in curves},
        "own_length": lengths.own,
        "figures": [figure.to_json() for figures in found.values() for figure in figures],
        **environment(),
    })  # fmt: skip
    first = found["ema"][0]
    below = f"{lengths.run.path}: {lengths.nimg:,} images seen; n={first.protocol['n']}, the same seed for every length"
    save_png(out.with_suffix(".png"), page(curves, below))
    _show(lengths, curves)
    for curve in curves:
        print(f"best {curve.name}: {_in_words(curve)}")
    print(f"to use the best of the first: difflab sample from={cfg['from']} weights={_word(curves[0].best)}")
    print(f"curve: {out.with_suffix('.png')}\nfigures: {out}")
    return out


def _in_words(curve: Curve) -> str:
    near = [*map(_word, curve.within_one_error), *(["the run's own"] if curve.own_is_near else [])]
    others = f" (within one standard error of it: {', '.join(near)})" if near else ""
    own = (
        ""
        if curve.own_is_near or curve.beats_own
        else f"; the run's own is better: {_value(curve.own, curve.own_error)}"
    )
    return f"{_value(*curve.at_best)} with {_word(curve.best)}{others}{own}"


def _show(lengths: Lengths, curves: Sequence[Curve]) -> None:
    table = Table(title=f"EMA lengths, shares of {lengths.nimg:,} images; *: the best", title_justify="left")
    table.add_column("weights", overflow="fold")
    for word in (*map(_word, lengths.mismatch), "ema"):
        table.add_column(word, justify="right")
    table.add_row("length", *(f"{share:g} " for share in lengths.mismatch), f"{lengths.own:.3g}")
    table.add_row("mismatch", *(f"{missed:.1%} " for missed in lengths.mismatch.values()), "")
    for curve in curves:
        marks = ["*" if curve.best == share else " " for share in curve.lengths]
        cells = [_value(v, e) + mark for v, e, mark in zip(curve.values, curve.errors, marks, strict=True)]
        table.add_row(curve.name, *cells, _value(curve.own, curve.own_error))
    console = Console(highlight=False)
    (console if console.is_terminal else Console(highlight=False, width=150)).print(table)


def _value(value: float, error: float | None) -> str:
    return f"{value:.4g}" + ("" if error is None else f" ± {error:.2g}")
