import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from difflab.data.hub import hub
from difflab.errors import DifflabError

datasets = pytest.importorskip("datasets")

COLUMNS = {"label_column": "kind", "caption_column": "text"}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    cache = tmp_path_factory.mktemp("hub")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(cache))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def parquet(tmp_path: Path) -> str:
    """A local folder as the hub has them: train and test, pictures of different sizes."""
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "kind": datasets.ClassLabel(names=["dark", "light"]),
            "text": datasets.Value("string"),
        }
    )
    for split, n in (("train", 10), ("test", 3)):
        rows = {
            "image": [Image.new("RGB", (8 + i, 8), (20 * i, 0, 0)) for i in range(n)],
            "kind": [int(i >= n // 2) for i in range(n)],
            "text": [f"red  {i}" for i in range(n)],
        }
        datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / f"{split}-00000-of-00001.parquet")
    return str(tmp_path)


def test_a_folder_of_parquet_files(parquet: str) -> None:
    train, val = hub(parquet, [3, 8, 8], val_split="test", **COLUMNS)
    assert (len(train), len(val)) == (10, 3)
    assert train.pixels[:, 0, 0, 0].tolist() == [20 * i for i in range(10)]
    assert train.labels.bincount().tolist() == [5, 5]
    assert train.classes == ["dark", "light"]
    assert train.captions[4] == "red 4"


def test_a_part_is_held_out_without_a_second_split(parquet: str) -> None:
    train, val = hub(parquet, [1, 8, 8])
    assert len(train) + len(val) == 10
    assert len(val) >= 1
    assert train.labels is None
    assert train.captions is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_column": "picture"}, "no column 'picture', it has image, kind, text: set data.source.image_column"),
        ({"image_column": "text"}, "row 0 of data set .* has no picture in column 'text'"),
        ({"label_column": "text"}, "is no column of classes"),
        ({"val_split": "none"}, "split none, can't be loaded"),
        ({"root": "some/where"}, "data set some/where, split train, can't be loaded"),
        ({"root": None}, "data.root=OWNER/NAME"),
    ],
)
def test_wrong_settings(options: dict[str, Any], message: str, parquet: str) -> None:
    with pytest.raises(DifflabError, match=message) as caught:
        hub(**{"root": parquet, "shape": [3, 8, 8], **options})
    assert "\n" not in str(caught.value)


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    features = datasets.Features({"image": datasets.Image()})
    rows = [{"bytes": b"junk", "path": None}] * 2
    datasets.Dataset.from_dict({"image": rows}, features=features).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(DifflabError, match=r"row 0 of data set .* has no picture in column 'image'"):
        hub(str(tmp_path), [3, 8, 8])


def test_without_the_extra(parquet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DifflabError, match=r"pip install 'difflab\[hub\]'"):
        hub(parquet, [3, 8, 8])
