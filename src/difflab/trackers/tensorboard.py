"""logger=tensorboard: curves and grids in <run>/tensorboard."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from difflab.errors import DifflabError
from difflab.runs.directory import Run
from difflab.trackers.base import Tracker


class TensorBoard(Tracker):
    """Scalars and PNGs over the images seen; it shows no films.

    Raises:
        DifflabError: the package is missing.
    """

    def __init__(self, run: Run) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ModuleNotFoundError as error:
            raise DifflabError(
                "logger=tensorboard needs the package `tensorboard`: install it with `pip install "
                "'difflab[tensorboard]'`, or use logger=csv"
            ) from error
        self.folder = run.path / "tensorboard"
        self._writer = SummaryWriter(str(self.folder))

    @property
    def where(self) -> str:
        return f"TensorBoard: `tensorboard --logdir {self.folder}` shows it"

    def log(self, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            if name != "nimg":
                self._writer.add_scalar(name, value, int(row["nimg"]))

    def picture(self, nimg: int, name: str, path: Path, caption: str) -> None:
        if path.suffix == ".png":
            self._writer.add_image(name, np.array(Image.open(path).convert("RGB")), nimg, dataformats="HWC")

    def close(self, failed: bool) -> None:
        self._writer.close()
