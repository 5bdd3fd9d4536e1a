"""Pictures beside the training pictures nearest to them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from difflab.metrics.near_copies import Closeness
from difflab.pictures.canvas import FAINT, INK, LINE, MARGIN, NOISE, QUIET, SIZE, Sheet, width_of
from difflab.pixels import to_rgb

SIDE = 96  # pixels of a tile, at most
GAP, BETWEEN = 6, 22  # pixels between two tiles, and between two groups of them
CAPTION = 26
LETTERS = 15  # of a name, at most
FRAME = 3
TOP = 104


class Part(NamedTuple):
    """Some rows under a title: the pictures `rows` out of `images`, with their names.

    near: how near all the images are to the training pictures, in each space.
    """

    title: str
    names: Sequence[str]
    images: UInt8[Tensor, "n c h w"]
    near: Sequence[Closeness]
    rows: Sequence[int]


def suspicion(near: Sequence[Closeness]) -> Int64[Tensor, "n"]:
    """Pictures in order of their best rank by relative distance in any space: a copy may be close in one alone."""
    ranks = torch.stack([one.relative.argsort(stable=True).argsort() for one in near])
    return (ranks.amin(0) * ranks.shape[1] + ranks.amax(0)).argsort(stable=True)


def nearest_and_median(near: Sequence[Closeness], rows: int) -> tuple[list[int], list[int]]:
    """The `rows` most suspicious pictures, and as many from the middle of the others."""
    order = suspicion(near).tolist()
    first, others = order[:rows], order[rows:]
    middle = max(0, (len(order) - rows) // 2 - rows)
    return first, others[middle : middle + rows]


def draw(
    parts: Sequence[Part],
    spaces: Sequence[str],
    train: UInt8[Tensor, "m c h w"],
    neighbours: int,
    title: str,
    below: str,
) -> UInt8[Tensor, "3 H W"]:
    """A page with `neighbours` training pictures for every space on the right of each picture, distances below.

    A near-copy and what it is a copy of are framed.
    """
    parts = [part for part in parts if part.rows]
    h, w = tiles(train[:1]).shape[-2:]
    columns = _columns(w, len(spaces), neighbours)
    rows = sum(len(part.rows) for part in parts)
    height = TOP + 2 * LINE + rows * (h + CAPTION) + len(parts) * (LINE + 2 * GAP + BETWEEN)
    sheet = Sheet(max(columns[-1] + w + MARGIN, width_of(title, below)), height + MARGIN)
    sheet.title(title, below)
    _heads(sheet, columns, spaces, neighbours)
    y = TOP + 2 * LINE
    for part in parts:
        y = _part(sheet, y, part, columns, train, neighbours)
    return sheet.render()


def tiles(images: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n 3 H W"]:
    """At most SIDE pixels a side: enlarged in whole squares, or averaged."""
    scale = SIDE // max(images.shape[-2:])
    if scale >= 1:
        return to_rgb(images).repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    size = [max(1, round(SIDE * side / max(images.shape[-2:]))) for side in images.shape[-2:]]
    return to_rgb(interpolate(images.float(), size, mode="area").round().to(torch.uint8))


def _columns(w: int, spaces: int, neighbours: int) -> list[int]:
    """Where the tiles of a row begin: the picture, then the groups."""
    xs = [MARGIN]
    for _ in range(spaces):
        start = xs[-1] + w + BETWEEN
        xs += [start + i * (w + GAP) for i in range(neighbours)]
    return xs


def _heads(sheet: Sheet, columns: Sequence[int], spaces: Sequence[str], neighbours: int) -> None:
    for i, space in enumerate(spaces):
        x = columns[1 + i * neighbours]
        sheet.text(x, TOP + LINE / 2, "nearest training pictures by", size=SIZE - 2)
        sheet.text(x, TOP + 1.3 * LINE, space, size=SIZE - 2)


def _part(
    sheet: Sheet, y: int, part: Part, columns: Sequence[int], train: UInt8[Tensor, "m c h w"], neighbours: int
) -> int:
    """Draws a part from y on; where it ends."""
    y += BETWEEN
    sheet.text(columns[0], y + LINE / 2, part.title, weight="bold", size=SIZE - 1)
    y += LINE + 2 * GAP - CAPTION // 2
    for i in part.rows:
        y = _row(sheet, y, part, i, columns, train, neighbours)
    return y


def _row(
    sheet: Sheet, y: int, part: Part, i: int, columns: Sequence[int], train: UInt8[Tensor, "m c h w"], neighbours: int
) -> int:
    found = [one.near.rows[i, :neighbours] for one in part.near]
    copied = [bool(one.near_copy[i]) for one in part.near]
    own = tiles(part.images[i : i + 1])[0]
    _tile(sheet, columns[0], y, own, part.names[i][-LETTERS:], NOISE if any(copied) else None)
    for group, (one, index) in enumerate(zip(part.near, found, strict=True)):
        for j, tile in enumerate(tiles(train[index])):
            frame = NOISE if j == 0 and copied[group] else None
            _tile(sheet, columns[1 + group * neighbours + j], y, tile, f"{one.near.distance[i, j]:.3g}", frame)
    return y + own.shape[-2] + CAPTION


def _tile(sheet: Sheet, x: int, y: int, tile: UInt8[Tensor, "3 h w"], words: str, frame: str | None) -> None:
    from matplotlib.patches import Rectangle

    _, h, w = tile.shape
    edge = FRAME if frame else 1
    corner = ((x - edge) / sheet.width, 1 - (y + h + edge) / sheet.height)
    size = ((w + 2 * edge) / sheet.width, (h + 2 * edge) / sheet.height)
    sheet.figure.add_artist(Rectangle(corner, *size, color=frame or FAINT, linewidth=0))
    sheet.tile(x, y, tile)
    sheet.text(x, y + h + CAPTION - 9, words, size=SIZE - 5, color=INK if frame else QUIET)
