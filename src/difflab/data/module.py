"""The LightningDataModule: wiring only."""

import pytorch_lightning as pl

from difflab.data.image_data import ImageData
from difflab.data.stream import Stream


class DataModule(pl.LightningDataModule):
    def __init__(self, data: ImageData) -> None:
        super().__init__()
        self.data = data

    def setup(self, stage: str) -> None:
        self.data.setup()

    def train_dataloader(self) -> Stream:
        """The stream from the module's `nimg` on: zero, or what its checkpoint restored."""
        assert self.trainer is not None
        nimg = int(self.trainer.lightning_module.nimg)  # type: ignore[arg-type]
        return self.data.stream(nimg, self.trainer.global_rank, self.trainer.world_size)
