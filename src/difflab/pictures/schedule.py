"""How much picture and how much noise there is at every time: alpha, sigma, logsnr and its slope."""

from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from difflab.pictures.canvas import INK, MARGIN, NOISE, QUIET, SIGNAL, Sheet
from difflab.pictures.subject import Page, Subject

POINTS = 201


def draw(subject: Subject) -> Page:
    curves = curves_of(subject)
    levels = [level.numbers() for level in subject.ladder.levels(sorted(subject.at))]
    return Page(_page(subject, curves, levels), [], {"curves": curves, "at": levels})


def curves_of(subject: Subject) -> dict[str, list[float]]:
    """Of the schedule over the times that are trained."""
    schedule = subject.ladder.schedule
    t = torch.linspace(schedule.t_min, schedule.t_max, POINTS, dtype=torch.float64)
    alpha, sigma = schedule.alpha_sigma(t)
    curves = {"t": t, "alpha": alpha, "sigma": sigma, "logsnr": schedule.logsnr(t), "dlogsnr": schedule.dlogsnr(t)}
    return {name: curve.tolist() for name, curve in curves.items()}


def _page(subject: Subject, curves: dict[str, list[float]], levels: list[dict[str, Any]]) -> UInt8[Tensor, "3 h w"]:
    sheet = Sheet(1500, 520)
    steps = f"{', '.join(map(str, subject.at))} of {subject.ladder.steps:,}"
    sheet.title("How much picture and how much noise", f"schedule {subject.names['schedule']}; dots: the steps {steps}")
    boxes = [(MARGIN + 50 + i * 490, 150, 400, 290) for i in range(3)]
    ax = sheet.axes(*boxes[0], "amplitudes", "t")
    for name, color in (("alpha", SIGNAL), ("sigma", NOISE)):
        ax.plot(curves["t"], curves[name], color=color, linewidth=2.5, label=name)
        ax.plot([level["t"] for level in levels], [level[name] for level in levels], "o", color=color, markersize=7)
    if max(curves["sigma"]) > 10:
        ax.set_yscale("log")
    ax.legend(fontsize=15, frameon=False, labelcolor=INK)
    ax = sheet.axes(*boxes[1], "logsnr = 2 log(alpha / sigma)", "t")
    ax.plot(curves["t"], curves["logsnr"], color=INK, linewidth=2.5)
    ax.plot([level["t"] for level in levels], [level["logsnr"] for level in levels], "o", color=INK, markersize=7)
    inner = curves["logsnr"][1:-1]
    ax.set_ylim(min(inner) - 1, max(inner) + 1)
    ax = sheet.axes(*boxes[2], "-dlogsnr/dt", "t")
    slopes = [-slope for slope in curves["dlogsnr"][1:-1]]
    ax.plot(curves["t"][1:-1], slopes, color=QUIET, linewidth=2.5)
    if max(slopes) > 20 * min(slopes):
        ax.set_yscale("log")
    else:
        ax.set_ylim(0, 1.05 * max(slopes))
    return sheet.render()
