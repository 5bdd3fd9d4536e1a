"""Where the bits of the variational bound are: its terms over the noise, and their sum."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from difflab.metrics.estimates import Terms
from difflab.metrics.ladder import NO_SIGNAL, Ladder
from difflab.metrics.protocol import Figure
from difflab.pictures.canvas import INK, MARGIN, NOISE, SIGNAL, SIZE, Sheet, width_of

CELLS = 40


@dataclass(frozen=True)
class Cell:
    """Steps of neighbouring levels: the logsnr they begin and end at, their bits per dimension and its error."""

    clean: float
    noisy: float
    levels: int
    bits: float
    error: float | None

    @property
    def density(self) -> float:
        """Bits per unit of logsnr."""
        return self.bits / (self.clean - self.noisy)


@dataclass(frozen=True)
class Table:
    """The bound by parts, in bits per dimension, means over pictures."""

    prior: float
    pixels: float
    cells: list[Cell]

    @property
    def steps(self) -> float:
        return sum(cell.bits for cell in self.cells)

    def numbers(self) -> dict[str, Any]:
        cells = [
            {"logsnr": [c.clean, c.noisy], "levels": c.levels, "bits": c.bits, "error": c.error} for c in self.cells
        ]
        return {"prior": self.prior, "pixels": self.pixels, "steps": self.steps, "terms": cells}


def table_of(ladder: Ladder, terms: Terms) -> Table:
    """At most CELLS cells of about the same width, each of whole steps."""
    logsnr = ladder.logsnr.clamp(min=NO_SIGNAL)
    width = (logsnr[0] - logsnr[-1]) / CELLS
    place = ((logsnr[0] - logsnr[1:]) / width - 1e-9).floor().clamp(max=CELLS - 1)
    _, counts = place.unique_consecutive(return_counts=True)
    cells, first = [], 1
    for count in counts.tolist():
        bits, n = terms.within(first, first + count), len(terms.prior)
        error = (bits.var() / n).sqrt().item() if n > 1 else None
        ends = logsnr[first - 1].item(), logsnr[first + count - 1].item()
        cells.append(Cell(*ends, count, bits.mean().item(), error))
        first += count
    return Table(terms.prior.mean().item(), terms.within(0, 1).mean().item(), cells)


def draw(table: Table, bound: Figure, flow: Figure | None) -> UInt8[Tensor, "3 h w"]:
    """Bits per unit of logsnr as bars, and their sum from the noise to the picture."""
    p = bound.protocol
    below = f"{p['n']} pictures of {p['pictures']}, {p['levels']} levels of {p['schedule']}, variance {p['variance']}"
    sheet = Sheet(max(1240, width_of("", below)), 560)
    sheet.title(f"Where the bits are: {bound.value:.3f}{_error(bound)} a dimension", below)
    across = "logsnr, from noise to picture"
    axes = [sheet.axes(MARGIN + 60 + i * 600, 160, 510, 300, title, across) for i, title in enumerate(_titles())]
    for ax in axes:
        ax.set_xlim(table.cells[-1].noisy, table.cells[0].clean + 0.5)
    _bars(axes[0], table)
    _sum(axes[1], table, flow)
    return sheet.render()


def _titles() -> tuple[str, str]:
    return "bits of the steps, per unit of logsnr", "their sum, from noise to picture"


def _error(figure: Figure) -> str:
    return "" if figure.error is None else f" ± {figure.error:.2g}"


def _bars(ax: Any, table: Table) -> None:
    x, width = [c.noisy for c in table.cells], [c.clean - c.noisy for c in table.cells]
    y = [c.density for c in table.cells]
    errors = [(c.error or 0) / w for c, w in zip(table.cells, width, strict=True)]
    ax.bar(x, y, width, align="edge", color=SIGNAL, alpha=0.35, edgecolor="white", linewidth=0.5)
    middle = [a + w / 2 for a, w in zip(x, width, strict=True)]
    ax.errorbar(middle, y, errors, fmt="none", ecolor=SIGNAL, elinewidth=1.5)
    ax.set_ylim(bottom=0)


def _sum(ax: Any, table: Table, flow: Figure | None) -> None:
    """The prior at the left, each step, then the pixels in one jump at the right."""
    cells = table.cells[::-1]
    logsnr = torch.tensor([cells[0].noisy, *(c.clean for c in cells), cells[-1].clean])
    bits = torch.tensor([table.prior, *(c.bits for c in cells), table.pixels]).cumsum(0)
    ax.plot(logsnr.tolist(), bits.tolist(), color=SIGNAL, linewidth=2.5, label="variational bound")
    end = logsnr[-1].item(), bits[-1].item()
    ax.plot(*end, "o", color=SIGNAL, markersize=7)
    ax.annotate(f"pixels +{table.pixels:.2g}", end, (-10, 0), textcoords="offset points", ha="right", va="center",
                fontsize=SIZE - 2, color=INK)  # fmt: skip
    if flow is not None:
        ax.axhline(flow.value, color=NOISE, linewidth=1.5, linestyle="--", label=f"flow {flow.value:.3f}{_error(flow)}")
    ax.set_ylim(bottom=0)
    ax.legend(fontsize=SIZE - 2, frameon=False, labelcolor=INK, loc="upper left")
