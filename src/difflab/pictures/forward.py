"""From a picture to noise: the states of the Markov chain, and the film of them."""

from jaxtyping import UInt8
from torch import Tensor

from difflab.denoiser import Pictures
from difflab.pictures.canvas import MARGIN, QUIET, Sheet, describe, scaling_note, shown
from difflab.pictures.chain import chain
from difflab.pictures.levels import Level
from difflab.pictures.subject import Page, Subject
from difflab.pictures.table import GAP, Room, Row, table
from difflab.progress import images_bar

COLUMNS = 9
State = tuple[Level, Pictures]


def draw(subject: Subject) -> Page:
    columns, film = subject.ladder.spread(COLUMNS), subject.ladder.spread(subject.frames)
    kept = _walk(subject, {*columns, *film})
    strip = [kept[i] for i in columns]
    numbers = {"columns": [level.numbers() for level, _ in strip], "film": [kept[i][0].numbers() for i in film]}
    return Page(_strip(subject, strip), [_frame(subject, *kept[i]) for i in film], numbers)


def _walk(subject: Subject, steps: set[int]) -> dict[int, State]:
    """The states of the shown pictures at these steps."""
    x0 = subject.x0[: subject.n]
    kept = {}
    with images_bar("chain to noise", subject.ladder.last * len(x0)) as advance:
        for level, x in chain(subject.ladder, x0, subject.noise("forward", len(x0))):
            if level.step in steps:
                kept[level.step] = level, x
            advance(len(x) if level.step else 0)
    return kept


def _strip(subject: Subject, states: list[State]) -> UInt8[Tensor, "3 h w"]:
    columns = [shown(x, level) for level, x in states]
    rows = [Row("", [column[i] for column in columns]) for i in range(subject.n)]
    note = scaling_note([level for level, _ in states])
    below = f"x_t = alpha x0 + sigma eps, reached step by step; schedule {subject.names['schedule']}"
    title = f"A picture turns to noise in {subject.ladder.last:,} small steps"
    sheet, y = table(title, below, [describe(level) for level, _ in states], rows, Room(below=30 if note else 0))
    sheet.text(MARGIN, y + 24, note, color=QUIET)
    return sheet.render()


def _frame(subject: Subject, level: Level, x: Pictures) -> UInt8[Tensor, "3 h w"]:
    tiles = shown(x, level)
    _, _, h, w = tiles.shape
    width = max(2 * MARGIN + len(tiles) * (w + GAP) - GAP, 420)
    sheet = Sheet(width, h + 140)
    sheet.text(MARGIN, MARGIN + 16, f"step {level.step} of {subject.ladder.last:,}", weight="bold")
    sheet.text(MARGIN, MARGIN + 44, "   ".join(describe(level).split("\n")[1:]), color=QUIET)
    sheet.bar(MARGIN, MARGIN + 64, width - 2 * MARGIN, level.step / subject.ladder.last)
    for i, tile in enumerate(tiles):
        sheet.tile(MARGIN + i * (w + GAP), MARGIN + 84, tile)
    return sheet.render()
