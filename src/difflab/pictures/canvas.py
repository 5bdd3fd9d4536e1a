"""A page to draw on: words and curves by matplotlib, pictures pixel by pixel. No global state of either."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from difflab.denoiser import Pictures
from difflab.pictures.levels import Level
from difflab.pixels import to_rgb, to_uint8

if TYPE_CHECKING:
    import matplotlib.axes

INK, QUIET, FAINT = "#1b1f24", "#5f6873", "#c9ced6"
SIGNAL, NOISE, MEASURED = "#0072b2", "#d55e00", "#009e73"  # Okabe and Ito's: told apart by everybody
DPI = 100
SIZE = 15  # of words, in points
LINE = 25  # pixels of a line of words
TILE = 128  # pixels of the longer side of a picture, about
MARGIN = 24


class Sheet:
    """White paper of width x height pixels, measured from the upper left corner."""

    def __init__(self, width: int, height: int) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
        self.canvas = FigureCanvasAgg(self.figure)
        self._tiles: list[tuple[int, int, UInt8[Tensor, "3 h w"]]] = []

    def text(
        self, x: int | float, y: int | float, words: str, size: int | float = SIZE, color: str = INK, **style: Any
    ) -> None:
        """`words` from x on, standing on y, unless `ha` and `va` say otherwise; a $ in them is a dollar."""
        style = dict[str, Any](ha="left", va="baseline", parse_math=False) | style
        self.figure.text(x / self.width, 1 - y / self.height, words, fontsize=size, color=color, **style)

    def lines(self, x: int | float, middle: int | float, words: str, **style: Any) -> None:
        """Lines of words at an even distance, the height of their middle given."""
        rows = words.split("\n")
        for i, row in enumerate(rows):
            self.text(x, middle + (i - len(rows) / 2 + 0.75) * LINE, row, **style)

    def title(self, words: str, below: str) -> None:
        self.text(MARGIN, MARGIN + 24, words, size=20, weight="bold")
        self.text(MARGIN, MARGIN + 58, below, color=QUIET)

    def tile(self, x: int, y: int, image: UInt8[Tensor, "3 h w"]) -> None:
        self._tiles.append((x, y, image))

    def bar(self, x: int, y: int, width: int, share: int | float) -> None:
        """How far a film is."""
        from matplotlib.patches import Rectangle

        for part, color in ((1.0, FAINT), (share, INK)):
            box = (x / self.width, 1 - (y + 6) / self.height)
            self.figure.add_artist(Rectangle(box, width * part / self.width, 6 / self.height, color=color, linewidth=0))

    def axes(self, x: int, y: int, width: int, height: int, title: str, xlabel: str) -> "matplotlib.axes.Axes":
        """A plot whose inner frame is this rectangle."""
        box = (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        ax = self.figure.add_axes(box)
        ax.set_title(title, loc="left", fontsize=SIZE, color=INK, pad=10)
        ax.set_xlabel(xlabel, fontsize=SIZE, color=INK)
        ax.tick_params(labelsize=SIZE - 2, colors=QUIET)
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(FAINT)
        ax.grid(color="#eef0f3", linewidth=1)
        ax.set_axisbelow(True)
        return ax

    def render(self) -> UInt8[Tensor, "3 h w"]:
        self.canvas.draw()
        page = torch.from_numpy(np.array(self.canvas.buffer_rgba())[..., :3]).permute(2, 0, 1).contiguous()
        for x, y, image in self._tiles:
            _, h, w = image.shape
            page[:, y : y + h, x : x + w] = image
        return page


def shown(x: Pictures, level: Level) -> UInt8[Tensor, "b 3 h w"]:
    """States of a level as pictures of about TILE pixels, divided by sqrt(alpha^2 + sigma^2).

    That is 1 on a variance preserving path; on the others it brings every level to the range of pictures.
    """
    return enlarged(x / (level.alpha**2 + level.sigma**2).sqrt())


def enlarged(x: Pictures) -> UInt8[Tensor, "b 3 h w"]:
    """Values of -1..1 as pictures of about TILE pixels, each pixel a whole square."""
    scale = max(1, round(TILE / max(x.shape[-2:])))
    return to_rgb(to_uint8(x).cpu()).repeat_interleave(scale, -1).repeat_interleave(scale, -2)


def amount(x: int | float) -> str:
    """An amplitude or a time for a caption."""
    return f"{x:.3f}" if x < 10 else f"{x:.1f}"


def describe(level: Level, name: str = "step") -> str:
    """The words beside a level, in four lines."""
    alpha, sigma = amount(level.alpha.item()), amount(level.sigma.item())
    return f"{name} {level.step}\nt {level.t:.3f}\nalpha {alpha}\nsigma {sigma}"


def width_of(title: str, below: str) -> int:
    """Pixels that a sheet with these words needs, from above."""
    return 2 * MARGIN + max(19 * len(title), 11 * len(below))


def scaling_note(levels: list[Level]) -> str:
    """The words that go with `shown` where it changes anything."""
    kept = all(abs(float(level.alpha**2 + level.sigma**2) - 1) < 1e-6 for level in levels)
    return "" if kept else "states are shown divided by sqrt(alpha^2 + sigma^2)"
