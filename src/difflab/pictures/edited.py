"""What an edit made of what it was given: before, mask and after side by side, and the way there as a film."""

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn.functional import pad

from difflab.pictures.canvas import TILE, enlarged
from difflab.pictures.table import Room, Row, table
from difflab.pixels import grid, to_model

AFTER = 9  # results on a sheet, at most
FRAME = 200  # the grey of a line around each picture, so that a white one has an edge


def sheet(
    title: str, below: str, beside: Mapping[str, UInt8[Tensor, "c h w"]], results: UInt8[Tensor, "n c h w"]
) -> UInt8[Tensor, "3 H W"]:
    """What was given, by its name, and the results, or some spread evenly over them."""
    n, columns = len(results), min(len(results), AFTER)
    shown = torch.linspace(0, n - 1, columns).round().int().tolist()
    heads = [*beside, *("after" if n == 1 else f"after {i}" for i in shown)]
    tiles = enlarged(to_model(torch.stack([*beside.values(), *results[shown]])))
    tiles = pad(tiles, (1, 1, 1, 1), value=FRAME)
    page, _ = table(title, below, heads, [Row("", list(tiles))], Room())
    return page.render()


def film(frames: Iterable[UInt8[Tensor, "b c h w"]]) -> list[UInt8[Tensor, "c H W"]]:
    """The frames enlarged, the results of each side by side."""
    return [grid(frame, scale=max(1, round(TILE / max(frame.shape[-2:])))) for frame in frames]
