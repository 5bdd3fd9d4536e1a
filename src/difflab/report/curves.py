"""The curves of one run, over the images it has seen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, pairwise

from difflab.bands.comparable import BandCurve
from difflab.metrics.directions import higher_is_better
from difflab.metrics.protocol import Figure, in_words, settings
from difflab.report.draw import (
    Look,
    Plot,
    images_seen,
    line,
    look_of,
    shaded,
    smoothed,
    values,
)
from difflab.report.gather import Found, Measured, Row
from difflab.report.points import Number, finite, running_mean

Bands = Mapping[str, BandCurve]  # by the row they belong to
NAMES = {
    "train/loss": "Training loss",
    "train/lr": "Learning rate",
    "train/grad_norm": "Gradient norm",
    "speed/img_per_s": "Images a second, training alone",
}
LEVEL = "x0_mse/"
# Drawn by themselves, or not at all: GFLOP/s are images/s times a constant.
_ELSEWHERE = ("proxy/", "figures/", "best/", "band/", "left_out/", "speed/gflop_per_s", LEVEL)
_LOGARITHMIC = ("train/loss", LEVEL)  # where they span enough
SMOOTHED = 60  # a curve of as many points has its mean drawn over it


def series(rows: Sequence[Row], name: str) -> tuple[list[int], list[Number]]:
    """Images seen and values of a row; a value that is not finite is None."""
    found = [row for row in rows if name in row]
    return [row["nimg"] for row in found], [finite(row[name]) for row in found]


def names_of(rows: Sequence[Row]) -> list[str]:
    """Of all that was measured, in order of appearance."""
    found = dict.fromkeys(name for row in rows for name, value in row.items() if isinstance(value, int | float))
    return [name for name in found if name not in ("nimg", "wall_s")]


def training(found: Found, bands: Bands) -> list[Plot]:
    """Loss, learning rate, gradient norm, throughput, and whatever else has rows."""
    names = [name for name in names_of(found.rows) if not name.startswith(_ELSEWHERE)]
    known = [name for name in NAMES if name in names]
    return [_training(found.rows, name, bands) for name in [*known, *(name for name in names if name not in known)]]


def _training(rows: Sequence[Row], name: str, bands: Bands) -> Plot:
    x, y = series(rows, name)
    jumps = len(y) >= SMOOTHED and name in ("train/loss", "train/grad_norm")
    traces = [*(shaded(bands[name]) if name in bands else []), *(smoothed(name, x, y) if jumps else [line(name, x, y)])]
    title = NAMES.get(name, name)
    return Plot(title, described(title, y), traces, images_seen(), values(y if name in _LOGARITHMIC else ()))


def by_level(found: Found, bands: Bands) -> list[Plot]:
    """All noise levels in one plot; beside it one each where there is something to compare them with."""
    names = levels(found.rows)
    if not names:
        return []
    traces = []
    every = [value for name in names for value in series(found.rows, name)[1]]
    for i, name in enumerate(names):
        share = i / max(1, len(names) - 1)
        x, y = series(found.rows, name)
        mean = running_mean(y, len(y) // 25) if len(y) >= SMOOTHED else y
        traces.append(line(level(name), x, mean, Look(f"mix:{share:.3f}")))
    note = "Mean of |x0 - x0_hat|² in a bin of log signal-to-noise ratios, from noise to almost clean"
    note += "; running means" if any(len(trace["x"]) >= SMOOTHED for trace in traces) else ""
    together = Plot("Error by noise level", described("Error", _last_values(found.rows, names), "by noise level"),
                    traces, images_seen(), values(every), note)  # fmt: skip
    return [together, *(_one_level(found.rows, name, bands[name]) for name in names if name in bands)]


def _one_level(rows: Sequence[Row], name: str, band: BandCurve) -> Plot:
    x, y = series(rows, name)
    title = f"Error at {level(name)}"
    own = smoothed(name, x, y) if len(y) >= SMOOTHED else [line(level(name), x, y)]
    return Plot(title, described(title, y), [*shaded(band), *own], images_seen(), values(y))


def levels(rows: Sequence[Row]) -> list[str]:
    """The rows of noise levels, the noisiest first."""
    return sorted((name for name in names_of(rows) if name.startswith(LEVEL)), key=_start)


def level(name: str) -> str:
    """`logsnr -2 to +0`."""
    return name.removeprefix(LEVEL).replace("logsnr=", "logsnr ").replace("..", " to ")


def _start(name: str) -> float:
    try:
        return float(name.partition("=")[2].partition("..")[0])
    except ValueError:
        return 0.0


def _last_values(rows: Sequence[Row], names: Sequence[str]) -> list[Number]:
    return [next((v for v in reversed(series(rows, name)[1]) if v is not None), None) for name in names]


def figures(found: Found, bands: Bands) -> list[Plot]:
    """A plot a row of figures with two points or more; where its protocol changed, a line of its own begins."""
    rows = dict.fromkeys(measured.row for measured in found.measured)
    plots = [_figure(row, [m for m in found.measured if m.row == row], bands) for row in rows]
    bare = [n for n in names_of(found.rows) if n.startswith(("proxy/", "figures/")) and n not in rows]
    return [plot for plot in [*plots, *(_bare(found.rows, name, bands) for name in bare)] if _is_curve(plot)]


def _is_curve(plot: Plot) -> bool:
    return sum(len(trace["x"]) for trace in plot.traces if trace.get("hoverinfo") != "skip") > 1


def _figure(row: str, measured: Sequence[Measured], bands: Bands) -> Plot:
    kind, name = row.split("/")[:2]
    parts = list(of_one_protocol(measured))
    traces = list(shaded(bands[row])) if row in bands else []
    for i, part in enumerate(parts):
        x, y = [m.nimg for m in part], [finite(m.figure.value) for m in part]
        errors = [finite(m.figure.error) for m in part]
        traces.append(line(f"protocol {i + 1}" if len(parts) > 1 else name, x, y, look_of(i), errors))
    changed = [_change(a[-1], b[0]) for a, b in pairwise(parts)]
    title = f"{'Proxy' if kind == 'proxy' else 'Figure'}: {row.partition('/')[2]}"
    last = measured[-1].figure
    note = ". ".join([f"{direction(name)}; {in_short(last)}", *changed])
    y = [finite(m.figure.value) for m in measured]
    return Plot(title, described(name, y), traces, images_seen(), values(), note, how(last))


def direction(name: str) -> str:
    return "higher is better" if higher_is_better(name) else "lower is better"


def in_short(figure: Figure) -> str:
    """The part of a protocol that is asked for first."""
    p = figure.protocol
    reference = f" vs {p['reference']} {p.get('reference_n')}" if "reference" in p else ""
    return f"n={p.get('n')}{reference}" + (f", {p['nfe']} NFE" if p.get("nfe") else "")


def how(figure: Figure) -> str:
    """The protocol of all points of a curve, in words."""
    return replace(figure, protocol=settings(figure.protocol)).how


def of_one_protocol(measured: Sequence[Measured]) -> Iterator[list[Measured]]:
    """Stretches that were measured alike."""
    for _, part in groupby(measured, key=lambda m: settings(m.figure.protocol)):
        yield list(part)


def _change(before: Measured, after: Measured) -> str:
    a, b = settings(before.figure.protocol), settings(after.figure.protocol)
    differing = {key: (a.get(key), b.get(key)) for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)}
    return f"Its protocol changed at {after.nimg:,} images: {in_words(differing)}"


def _bare(rows: Sequence[Row], name: str, bands: Bands) -> Plot:
    x, y = series(rows, name)
    traces = [*(shaded(bands[name]) if name in bands else []), line(name, x, y)]
    return Plot(name, described(name, y), traces, images_seen(), values(), "protocol and error were not recorded")


def described(name: str, y: Sequence[Number], over: str = "over the images seen") -> str:
    """A curve in words."""
    known = [value for value in y if value is not None]
    if not known:
        return f"{name} {over}: no finite value"
    return f"{name} {over}: {known[0]:.4g} first, {known[-1]:.4g} last, between {min(known):.4g} and {max(known):.4g}"
