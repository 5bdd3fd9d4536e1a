"""From noise to pictures: the sampler's states, and under each the guess of the picture it is led by."""

from typing import NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor

from difflab.denoiser import Pictures
from difflab.pictures.canvas import MARGIN, QUIET, Sheet, describe, enlarged, scaling_note, shown
from difflab.pictures.levels import Level
from difflab.pictures.subject import Page, Subject
from difflab.pictures.table import GAP, Room, Row, table
from difflab.progress import images_bar
from difflab.rng import SampleNoise

COLUMNS = 9


class State(NamedTuple):
    """Level.step counts the nodes of the grid here: 0 is pure noise."""

    level: Level
    x: Pictures
    x0_hat: Pictures


def draw(subject: Subject) -> Page:
    n = len(subject.generation.nodes)
    columns, film = (sorted({round(i * n / (k - 1)) for i in range(k)}) for k in (COLUMNS, subject.frames))
    kept = _walk(subject, {*columns, *film})
    strip = [kept[i] for i in columns]
    numbers = {
        "protocol": subject.generation.protocol,
        "nodes": [_level(subject, i).numbers() for i in range(n + 1)],
        "columns": columns,
        "film": film,
        "sample_indices": list(range(subject.n)),
    }
    return Page(_strip(subject, strip), [_frame(subject, kept[i]) for i in film], numbers)


def _level(subject: Subject, i: int) -> Level:
    """Node i, with the time at which the schedule has its level."""
    alpha, sigma = subject.generation.nodes.alpha[i], subject.generation.nodes.sigma[i]
    t = subject.ladder.schedule.t_of_logsnr(2 * (alpha / sigma).log()) if sigma > 0 else torch.zeros_like(sigma)
    return Level(i, t.item(), alpha, sigma)


def _walk(subject: Subject, steps: set[int]) -> dict[int, State]:
    """The same pictures as `difflab sample` makes with this seed; the finished one is its own guess."""
    made, n, like = subject.generation, len(subject.generation.nodes), subject.x0[: subject.n]
    x = made.nodes.sigma[0] * SampleNoise(subject.seed, range(subject.n))(like)
    kept = {}
    with images_bar("chain to pictures", n * subject.n) as advance:
        for i, step in enumerate(made.steps(subject.denoise, subject.seed, range(subject.n), like.device)):
            if i in steps:
                kept[i] = State(_level(subject, i), x, step.x0)
            x = step.x
            advance(len(x))
    return kept | {n: State(_level(subject, n), x, x)}


def _strip(subject: Subject, states: list[State]) -> UInt8[Tensor, "3 h w"]:
    heads = [describe(s.level, "node") for s in states]
    xs, guesses = [shown(s.x, s.level) for s in states], [enlarged(s.x0_hat) for s in states]
    rows = []
    for i in range(subject.n):
        rows.append(Row("x_t", [x[i] for x in xs], space=16 if i else 0))
        rows.append(Row("x0_hat", [x0_hat[i] for x0_hat in guesses]))
    note = scaling_note([s.level for s in states])
    title = f"From noise to pictures in {len(subject.generation.nodes):,} steps"
    who = f"{subject.names['sampler']}, {subject.names['denoiser']}"
    below = f"above: the state; below: the guess that leads the next step; {who}"
    sheet, y = table(title, below, heads, rows, Room(left=90, below=30 if note else 0))
    sheet.text(MARGIN, y + 24, note, color=QUIET)
    return sheet.render()


def _frame(subject: Subject, state: State) -> UInt8[Tensor, "3 h w"]:
    level, rows = state.level, (shown(state.x, state.level), enlarged(state.x0_hat))
    n, (_, _, h, w) = len(subject.generation.nodes), rows[0].shape
    width = max(90 + 2 * MARGIN + subject.n * (w + GAP) - GAP, 420)
    sheet = Sheet(width, 2 * h + GAP + 140)
    sheet.text(MARGIN, MARGIN + 16, f"node {level.step} of {n:,}", weight="bold")
    sheet.text(MARGIN, MARGIN + 44, "   ".join(describe(level).split("\n")[1:]), color=QUIET)
    sheet.bar(MARGIN, MARGIN + 64, width - 2 * MARGIN, level.step / n)
    for j, (name, tiles) in enumerate(zip(("x_t", "x0_hat"), rows, strict=True)):
        y = MARGIN + 84 + j * (h + GAP)
        sheet.lines(MARGIN, y + h / 2, name)
        for i, tile in enumerate(tiles):
            sheet.tile(MARGIN + 90 + i * (w + GAP), y, tile)
    return sheet.render()
