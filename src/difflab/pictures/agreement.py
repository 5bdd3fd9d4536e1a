"""The share of samples that show what was asked for, against guidance scale."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import UInt8
from torch import Tensor

from difflab.pictures.canvas import INK, MARGIN, NOISE, SIGNAL, SIZE, Sheet, width_of

WIDTH, HEIGHT, GAP = 560, 340, 110


@dataclass(frozen=True)
class Curve:
    """A figure at each scale with its standard error, and the same figure of held-out real pictures."""

    name: str
    scales: Sequence[float]
    values: Sequence[float]
    errors: Sequence[float]
    real: float

    def __str__(self) -> str:
        each = ", ".join(f"{value:.0%} at {scale:g}" for scale, value in zip(self.scales, self.values, strict=True))
        return f"{self.name}: {each} (guidance scale); {self.real:.0%} of held-out real pictures"


def page(curves: Sequence[Curve], below: str) -> UInt8[Tensor, "3 h w"]:
    """One plot a figure, side by side."""
    words = "Samples that show what they were asked for"
    width = max(MARGIN + len(curves) * (WIDTH + GAP) + 40, width_of(words, below))
    sheet = Sheet(width, 130 + HEIGHT + GAP)
    sheet.title(words, below)
    for i, curve in enumerate(curves):
        ax = sheet.axes(MARGIN + 70 + i * (WIDTH + GAP), 140, WIDTH, HEIGHT, curve.name, "guidance scale")
        ax.errorbar(
            curve.scales, curve.values, yerr=curve.errors, color=SIGNAL, linewidth=2.5, elinewidth=1.6, capsize=5,
            marker="o", label="samples",
        )  # fmt: skip
        ax.axhline(curve.real, color=NOISE, linewidth=1.8, linestyle="--", label="held-out real pictures")
        ax.set_ylim(0, 1)
        ax.legend(fontsize=SIZE - 3, frameon=False, labelcolor=INK)
    return sheet.render()
