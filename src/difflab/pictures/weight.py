"""What a noise level counts in training: its weight times how often it is drawn."""

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from difflab.errors import DifflabError
from difflab.pictures.canvas import INK, MARGIN, SIGNAL, SIZE, Sheet, width_of
from difflab.pictures.subject import Page, Subject
from difflab.predictions import Prediction
from difflab.schedules import Schedule
from difflab.times import Times
from difflab.weightings import Weighting

if TYPE_CHECKING:
    import matplotlib.axes

DRAWS = 200_000
CELLS = 480
LIMIT = 15  # of logsnr, drawn
OTHERS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#a89a00")
Curve = Float64[Tensor, " n"]


def density(times: Times, schedule: Schedule) -> tuple[Curve, Curve]:
    """logsnr, falling, and the density of training levels there: 1 / |dlogsnr/du| of the share u of draws.

    From DRAWS even quantiles. Between two that differ the share is known exactly, for discrete times as well; the
    density is the share between two such places over their distance, in cells that get finer at both ends.
    """
    u = (torch.arange(DRAWS, dtype=torch.float64) + 0.5) / DRAWS
    logsnr = schedule.logsnr(times.quantile(u, schedule).clamp(schedule.t_min, schedule.t_max))
    logsnr = logsnr[logsnr.isfinite()]  # the last of discrete times may be pure noise
    edges = (logsnr.diff() != 0).nonzero().flatten()
    share, place = (edges + 1).double() / DRAWS, (logsnr[edges] + logsnr[edges + 1]) / 2
    wanted = torch.linspace(-9, 9, CELLS + 1, dtype=torch.float64).sigmoid()
    cut = torch.searchsorted(share, wanted).clamp(max=len(share) - 1).unique() if len(share) else share
    if len(cut) < 3:
        raise DifflabError(f"times {times}: nearly all draws fall on one level of schedule {schedule}; spread them")
    share, place = share[cut], place[cut]
    return (place[1:] + place[:-1]) / 2, -share.diff() / place.diff()


def effective(weighting: Weighting, logsnr: Curve, density: Curve) -> Curve:
    """What |x0 - x0_hat|^2 of a level counts, per unit of logsnr: its integral is the mean weight of a draw."""
    with torch.no_grad():
        return weighting(logsnr) * density


def on_the_output(prediction: Prediction, schedule: Schedule, logsnr: Curve) -> Curve:
    """(sigma/det)^2, which turns what an error of x0 counts into what an error of the network's output y counts."""
    alpha, sigma = schedule.alpha_sigma(schedule.t_of_logsnr(logsnr))
    return (sigma / prediction.det(alpha, sigma)) ** 2


def draw(subject: Subject) -> Page:
    logsnr, p = density(subject.times, subject.ladder.schedule)
    output = on_the_output(subject.prediction, subject.ladder.schedule, logsnr)
    curves: dict[str, Any] = {"logsnr": logsnr, "density": p}
    for name, weighting in {"chosen": subject.weighting, **subject.others}.items():
        on_x0 = effective(weighting, logsnr, p)
        curves[name] = {"on_x0": on_x0, "on_y": on_x0 * output}
    return Page(_page(subject, curves), [], _lists(curves) | {"names": dict(subject.names)})


def _lists(tree: dict[str, Any]) -> dict[str, Any]:
    return {key: _lists(value) if isinstance(value, dict) else value.tolist() for key, value in tree.items()}


def _page(subject: Subject, curves: dict[str, Any]) -> UInt8[Tensor, "3 h w"]:
    below = ", ".join(f"{part} {subject.names[part]}" for part in ("times", "weighting", "prediction", "schedule"))
    sheet = Sheet(max(1720, width_of("", below)), 540)
    sheet.title("What a noise level counts in training", below)
    boxes = [(MARGIN + 60 + i * 480, 160, 390, 290) for i in range(3)]
    logsnr, p = curves["logsnr"], curves["density"]
    inside = (p > 1e-3 * p.max()) & (logsnr.abs() < LIMIT)
    ax = sheet.axes(*boxes[0], "how often a level is drawn", "logsnr")
    ax.fill_between(logsnr[inside].tolist(), p[inside].tolist(), color=SIGNAL, alpha=0.25, linewidth=0)
    ax.plot(logsnr[inside].tolist(), p[inside].tolist(), color=SIGNAL, linewidth=2.5)
    ax.set_ylim(bottom=0)
    lines = {name: curves[name] for name in ("chosen", *subject.others)}
    ax = sheet.axes(*boxes[1], "what |x0 - x0_hat|^2 counts there", "logsnr")
    _lines(ax, logsnr[inside], {name: line["on_x0"][inside] for name, line in lines.items()})
    ax.set_yscale("log")
    top = curves["chosen"]["on_x0"][inside].max().item()
    ax.set_ylim(bottom=max(ax.get_ylim()[0], 1e-7 * top))
    ax = sheet.axes(*boxes[2], "what |y - y_hat|^2 counts, area 1", "logsnr")
    shares = {name: _area_one(logsnr[inside], line["on_y"][inside]) for name, line in lines.items()}
    _lines(ax, logsnr[inside], shares)
    ax.set_ylim(0, min(ax.get_ylim()[1], 3 * shares["chosen"].max().item()))
    ax.legend(fontsize=SIZE - 2, frameon=False, labelcolor=INK, loc="upper left", bbox_to_anchor=(1.04, 1.04))
    return sheet.render()


def _area_one(logsnr: Curve, weight: Curve) -> Curve:
    return weight / -torch.trapezoid(weight, logsnr)


def _lines(ax: "matplotlib.axes.Axes", logsnr: Curve, lines: dict[str, Curve]) -> None:
    """The chosen one thick, the others thin; one that is the same as the chosen is left out."""
    for i, (name, line) in enumerate(lines.items()):
        if name == "chosen":
            ax.plot(logsnr.tolist(), line.tolist(), color=INK, linewidth=3.0, label=name)
        elif not torch.allclose(line, lines["chosen"], rtol=1e-6):
            ax.plot(logsnr.tolist(), line.tolist(), color=OTHERS[i % len(OTHERS)], linewidth=1.4, label=name)
