"""Image sets of the Hugging Face hub, or local folders that its `datasets` library reads (the extra `hub`)."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from difflab.data.decode import BROKEN, Decoder
from difflab.data.images import Images
from difflab.data.split import split_by_name
from difflab.errors import DifflabError
from difflab.progress import images_bar


def hub(
    root: str | None,
    shape: Sequence[int],
    config: str | None = None,
    train_split: str = "train",
    val_split: str | None = None,
    image_column: str = "image",
    label_column: str | None = None,
    caption_column: str | None = None,
    val_fraction: float = 0.1,
    split_seed: int = 0,
    resize: str = "crop",
    background: str = "white",
) -> tuple[Images, Images]:
    """A data set by its name on the hub (`owner/name`), or a folder of parquet files or pictures.

    config: the data set's own configuration name. val_split: null holds out `val_fraction` of the training split,
    by row. label_column: a column of class labels. caption_column: a column of text.
    Raises DifflabError when the extra, the data or a column is missing.
    """
    if root is None:
        raise DifflabError("data=hub needs the name of a data set: give it with data.root=OWNER/NAME, or a folder")
    decode = Decoder(shape, resize, background)
    columns = {"image": image_column, "label": label_column, "caption": caption_column}
    train = _images(_load(root, config, train_split), root, columns, decode)
    if val_split is not None:
        return train, _images(_load(root, config, val_split), root, columns, decode)
    rows = [str(i) for i in range(len(train))]
    return split_by_name(train, rows, val_fraction, split_seed, f"{root}, split {train_split}")


def _load(root: str, config: str | None, split: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise DifflabError(
            "data=hub needs the package `datasets`: install it with `pip install 'difflab[hub]'`, or use data=folder"
        ) from None
    # Without a network it would say so six times before it gives up, after 20 s.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        return datasets.load_dataset(root, config, split=split)
    except Exception as error:  # its errors have no common ancestor
        reason = " ".join(str(error).split())[:300]
        raise DifflabError(
            f"data set {root}, split {split}, can't be loaded ({reason}): check name and split; without a network, "
            f"give a folder that `hf download --repo-type dataset {root} --local-dir DIR` made: data.root=DIR"
        ) from None


def _images(rows: Any, root: str, columns: dict[str, str | None], decode: Decoder) -> Images:
    for use, column in columns.items():
        if column is not None and column not in rows.column_names:
            raise DifflabError(
                f"data set {root} has no column '{column}', it has {', '.join(rows.column_names)}: "
                f"set data.source.{use}_column"
            )
    pixels = torch.empty(len(rows), decode.channels, decode.height, decode.width, dtype=torch.uint8)
    pictures = rows.select_columns([columns["image"]])
    with images_bar(f"reading {root}", len(rows)) as advance:
        for i in range(len(rows)):
            pixels[i] = _decoded(pictures, i, decode, root)
            advance(1)
    labels, classes = _labels(rows, root, columns["label"])
    captions = columns["caption"]
    texts = None if captions is None else [" ".join(str(t).split()) for t in rows[captions]]
    return Images(pixels, labels, texts, classes)


def _decoded(pictures: Any, row: int, decode: Decoder, root: str) -> torch.Tensor:
    """The picture of one row; `datasets` itself opens it, on access."""
    try:
        (picture,) = pictures[row].values()
        if not isinstance(picture, Image.Image):
            raise ValueError(f"its type is {type(picture).__name__}")
        return decode(picture)
    except BROKEN as error:
        column = pictures.column_names[0]
        raise DifflabError(
            f"row {row} of data set {root} has no picture in column '{column}' ({error}): "
            "set data.source.image_column, or mend the data"
        ) from None


def _labels(rows: Any, root: str, column: str | None) -> tuple[torch.Tensor | None, list[str] | None]:
    if column is None:
        return None, None
    names = getattr(rows.features[column], "names", None)
    if names is None:
        raise DifflabError(
            f"column '{column}' of data set {root} is no column of classes: set data.source.label_column=null"
        )
    return torch.tensor(list(rows[column]), dtype=torch.int64), list(names)
