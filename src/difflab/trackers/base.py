"""What a tracker takes, whichever it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from torch import Tensor

from difflab.metrics.protocol import Figure
from difflab.runs.directory import Run


class Tracker:
    """Takes what is measured and keeps none of it (logger=none); others override what they can show.

    Nothing in it changes a run or ends it.
    """

    @property
    def where(self) -> str:
        """One line for the terminal: where it shows what it takes."""
        return ""

    def log(self, row: Mapping[str, Any]) -> None:
        """A row of metrics.jsonl."""

    def figures(self, row: Mapping[str, Any], figures: Mapping[str, Figure]) -> None:
        """A row of metrics.jsonl whose values are figures."""
        self.log(row)

    def picture(self, nimg: int, name: str, path: Path, caption: str) -> None:
        """A PNG or GIF that lies in the run directory."""

    def samples(self, nimg: int, seed: int, images: UInt8[Tensor, "n c h w"], words: Sequence[str]) -> None:
        """The samples 0..n-1 of a seed, one by one, and for what each was made (none: without a condition)."""

    def finished(self, run: Run, result: Mapping[str, Any]) -> None:
        """What result.json holds, when the run has it."""

    def close(self, failed: bool) -> None:
        """Nothing comes after this."""
