from itertools import islice
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf

from difflab.data.image_data import ImageData, from_config
from difflab.data.images import Images
from difflab.data.module import DataModule
from difflab.errors import DifflabError


def images(n: int = 8, **columns: Any) -> Images:
    return Images(torch.zeros(n, 1, 4, 4, dtype=torch.uint8), **columns)


def labelled(n: int = 8) -> Images:
    return images(n, labels=torch.arange(n) % 2, classes=["a", "b"])


def module(train: Images | None = None, val: Images | None = None, **changes: Any) -> ImageData:
    keys = {"name": "made", "shape": [1, 4, 4], "classes": ["a", "b"], "captions": False, "sigma_data": 0.5}
    keys |= {"flip": False, "batch_size": 4, "seed": 0} | changes
    first = labelled() if train is None else train
    return ImageData(source=lambda: (first, labelled(3) if val is None else val), **keys)


def test_the_source_is_called_once_and_late() -> None:
    calls = []
    data = module()
    data._source = lambda: calls.append(1) or (labelled(), labelled(3))  # type: ignore[func-returns-value]
    assert not calls
    data.setup()
    data.setup()
    assert (len(data.train), len(data.val), len(calls)) == (8, 3, 1)


def test_classes_come_from_the_data_when_null() -> None:
    assert module(classes=None).classes == ["a", "b"]
    assert module(train=images(), val=images(), classes=None).classes == []
    assert module(classes=["a", "b"]).classes == ["a", "b"]


def test_columns_that_are_not_asked_for_are_left_out() -> None:
    both = images(labels=torch.zeros(8, dtype=torch.int64), captions=["x"] * 8)
    data = module(both, both, classes=[], captions=False)
    assert data.train.labels is None
    assert data.train.captions is None


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"shape": [3, 4, 4]}, r"data.shape is \[3, 4, 4\], but .* set data.shape=\[1,4,4\]"),
        ({"train": images(0)}, "the train split of data set made is empty"),
        ({"captions": True}, "data.captions is true, but .* have no captions"),
        ({"val": images()}, "names 2 classes, but the val pictures .* have no labels"),
        ({"classes": ["b", "a"]}, r"data.classes is \['b', 'a'\], but .* set data.classes=null"),
        ({"val": images(labels=torch.full((8,), 2))}, "labels up to 2"),
    ],
)
def test_data_that_is_not_what_the_configuration_says(made: dict[str, Any], message: str) -> None:
    with pytest.raises(DifflabError, match=message):
        module(**made).setup()


class Counter(pl.LightningModule):
    """Has a position and remembers what it was fed."""

    def __init__(self, nimg: int) -> None:
        super().__init__()
        self.nimg = nimg
        self.fed: list[int] = []
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch: dict[str, Any], index: int) -> torch.Tensor:
        self.fed.append(batch["nimg"])
        return self.weight * batch["x0"].mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.filterwarnings("ignore")
def test_lightning_trains_from_the_modules_position_on() -> None:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(accelerator="cpu", max_steps=5, enable_model_summary=False, **quiet)
    counter, data = Counter(nimg=12), module()
    lightning = DataModule(data)
    trainer.fit(counter, lightning)
    assert counter.fed == [12, 16, 20, 24, 28]
    stream = lightning.train_dataloader()
    assert [b["nimg"] for b in islice(stream, 2)] == [12, 16]


def test_from_config_builds_the_source_with_resolved_interpolations() -> None:
    node = OmegaConf.load("conf/data/fashion_mini.yaml")
    cfg = OmegaConf.create({"data": node})
    cfg.data.shape = [1, 16, 16]
    data = from_config(cfg.data, batch_size=2, seed=0)
    assert data.train.shape == (1, 16, 16)
    assert data.val.shape == (1, 16, 16)


def test_unknown_keys_of_a_data_node_fail() -> None:
    cfg = OmegaConf.create({"data": OmegaConf.load("conf/data/emoji.yaml")})
    cfg.data.flips = True
    with pytest.raises(TypeError, match="flips"):
        from_config(cfg.data, batch_size=2, seed=0)
