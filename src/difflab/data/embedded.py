"""The data sets that come with the package."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from difflab.data.archive import read_arrays
from difflab.data.images import Images, fit
from difflab.errors import DifflabError
from difflab.files import embedded_dir


def fashion_mini(shape: Sequence[int], root: str | None = None) -> tuple[Images, Images]:
    """20,000 + 2,000 grey garments in ten classes, 28x28 padded to 32x32 with black (or averaged to smaller).

    root: another folder made by data/build_fashion_mini.py.
    """
    arrays = read_arrays(_folder(root, "fashion_mini") / "fashion_mini.npz")

    def split(name: str) -> Images:
        pixels = torch.from_numpy(arrays[f"{name}_pixels"])[:, None]
        labels = torch.from_numpy(arrays[f"{name}_labels"]).long()
        return Images(fit(pixels, shape, "fashion_mini", canvas=32), labels)

    return split("train"), split("val")


def emoji(shape: Sequence[int], root: str | None = None, caption: str = "{name}") -> tuple[Images, Images]:
    """4,711 + 507 emoji, RGB on white; label = category, caption = name; no name is in both splits.

    root: another folder made by data/build_emoji.py, such as one of larger pictures.
    caption: made of {name}, {style} (noto, twemoji, fluent) and {category}.
    """
    folder = _folder(root, "emoji")
    pixels = torch.from_numpy(read_arrays(folder / "emoji.npz")["pixels"]).permute(0, 3, 1, 2)
    rows = json.loads((folder / "emoji.json").read_text())
    categories = sorted({row["category"] for row in rows})
    everything = Images(
        fit(pixels, shape, "emoji"),
        torch.tensor([categories.index(row["category"]) for row in rows]),
        [_caption(caption, row) for row in rows],
        categories,
    )
    train = torch.tensor([row["split"] == "train" for row in rows])
    return everything.select(train.nonzero()[:, 0]), everything.select((~train).nonzero()[:, 0])


def _caption(template: str, row: dict[str, str]) -> str:
    try:
        return template.format(name=row["name"], style=row["style"], category=row["category"])
    except (KeyError, IndexError, ValueError):
        raise DifflabError(
            f"caption template {template!r} of data set emoji may use {{name}}, {{style}} and {{category}} alone: "
            "change data.source.caption"
        ) from None


def _folder(root: str | None, name: str) -> Path:
    return embedded_dir() / name if root is None else Path(root).expanduser()
