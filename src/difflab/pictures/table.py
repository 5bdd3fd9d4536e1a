"""Pictures in rows and columns with words around them."""

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import UInt8
from torch import Tensor

from difflab.pictures.canvas import LINE, MARGIN, QUIET, SIZE, Sheet, width_of

GAP = 8  # pixels between two pictures
TOP = 104  # where the columns' heads begin


class Row(NamedTuple):
    label: str
    images: Sequence[UInt8[Tensor, "3 h w"]]
    after: str = ""  # words on the right
    space: int = 0  # pixels above it


class Room(NamedTuple):
    """Pixels that are left free around the pictures."""

    left: int = 0
    right: int = 0
    below: int = 0


def table(title: str, below: str, heads: Sequence[str], rows: Sequence[Row], room: Room) -> tuple[Sheet, int]:
    """A sheet with the rows under the columns' heads, and the y at which the room below begins."""
    _, h, w = rows[0].images[0].shape
    lines = max(head.count("\n") + 1 for head in heads)
    top = TOP + LINE * lines + GAP
    bottom = top + sum(h + GAP + row.space for row in rows)
    width = MARGIN + room.left + len(heads) * (w + GAP) + room.right + MARGIN
    sheet = Sheet(max(width, width_of(title, below)), bottom + room.below + MARGIN)
    sheet.title(title, below)
    x = MARGIN + room.left
    for i, head in enumerate(heads):
        style = {"size": SIZE - 1, "ha": "center"}
        sheet.lines(x + i * (w + GAP) + w / 2, TOP + LINE * lines / 2, head, **style)
    _rows(sheet, x, top, rows)
    return sheet, bottom


def _rows(sheet: Sheet, x: int, y: int, rows: Sequence[Row]) -> None:
    for row in rows:
        y += row.space
        _, h, w = row.images[0].shape
        sheet.lines(MARGIN, y + h / 2, row.label)
        for i, image in enumerate(row.images):
            sheet.tile(x + i * (w + GAP), y, image)
        sheet.lines(x + len(row.images) * (w + GAP) + 16, y + h / 2, row.after, color=QUIET)
        y += h + GAP
