"""Pictures in rows, the words for which each was made below it."""

import math
import textwrap
from collections.abc import Sequence

from jaxtyping import UInt8
from torch import Tensor

from difflab.pictures.canvas import MARGIN, Sheet
from difflab.pixels import to_rgb

GAP, SIZE, LINE, LINES = 10, 9, 14, 3  # pixels, points, pixels, lines
LETTER = 6.5  # pixels of an average one at SIZE
LEAST = 96  # pixels of a cell's width, so that there is room for words
IN_TURN = 12  # words that get a column each, at most


def labelled_grid(images: UInt8[Tensor, "n c h w"], words: Sequence[str], scale: int = 2) -> UInt8[Tensor, "3 H W"]:
    """Each picture enlarged `scale` times without blur; words that are longer than three lines are cut."""
    n, _, h, w = images.shape
    tiles = to_rgb(images).repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    columns = columns_for(words)
    cell = max(LEAST, w * scale)
    below = [lines_of(word, cell) for word in words]
    height = h * scale + LINE * max(map(len, below)) + GAP
    sheet = Sheet(2 * MARGIN + columns * (cell + GAP) - GAP, 2 * MARGIN + math.ceil(n / columns) * height)
    for i, tile in enumerate(tiles):
        x, y = MARGIN + i % columns * (cell + GAP), MARGIN + i // columns * height
        sheet.tile(x + (cell - w * scale) // 2, y, tile)
        for j, line in enumerate(below[i]):
            sheet.text(x + cell / 2, y + h * scale + (j + 1) * LINE, line, size=SIZE, ha="center")
    return sheet.render()


def columns_for(words: Sequence[str]) -> int:
    """One for each word where few come in turn, again and again; else about as many as rows."""
    turn = len(set(words))
    comes_back = 1 < turn < len(words) and all(word == words[i % turn] for i, word in enumerate(words))
    return turn if comes_back and turn <= IN_TURN else math.ceil(math.sqrt(len(words)))


def lines_of(word: str, width: int) -> list[str]:
    """In lines of `width` pixels."""
    return textwrap.wrap(word, max(1, int(width / LETTER)), max_lines=LINES, placeholder="...")
