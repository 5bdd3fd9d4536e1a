"""Every file in conf/data names an existing source with arguments it has, and keys that ImageData has."""

import inspect
from pathlib import Path

import pytest
from hydra.utils import get_method
from omegaconf import OmegaConf
from torchvision import datasets

from difflab.data.image_data import from_config
from difflab.files import conf_dir

FILES = sorted((conf_dir() / "data").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_the_node_fits_the_module_and_the_source(file: Path) -> None:
    cfg = OmegaConf.create({"data": OmegaConf.load(file)})
    data = from_config(cfg.data, batch_size=2, seed=0)
    assert data.name == file.stem
    source = OmegaConf.to_container(cfg.data.source, resolve=True)
    assert isinstance(source, dict)
    function = get_method(source.pop("_target_"))
    inspect.signature(function).bind(**source)
    assert file.read_text().startswith("# ")


def test_all_sets_are_there() -> None:
    expected = {"cifar10", "cifar100", "emoji", "fashion_mini", "fashion_mnist", "folder", "hub", "mnist"}
    assert {f.stem for f in FILES} >= expected


@pytest.mark.parametrize(("name", "n"), [("cifar10", 10), ("cifar100", 100), ("mnist", 10), ("fashion_mnist", 10)])
def test_classes_are_as_many_as_the_authors(name: str, n: int) -> None:
    classes = OmegaConf.load(conf_dir() / f"data/{name}.yaml").classes
    assert len(set(classes)) == n
    assert all(isinstance(c, str) for c in classes)


def test_fashion_classes_are_in_the_authors_order() -> None:
    ours = OmegaConf.load(conf_dir() / "data/fashion_mnist.yaml").classes
    theirs = [c.lower() for c in datasets.FashionMNIST.classes]
    assert all(a in b for a, b in zip(ours, theirs, strict=True))
