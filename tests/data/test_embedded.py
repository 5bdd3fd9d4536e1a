import json
import lzma
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from difflab.data.archive import read_arrays, write_arrays
from difflab.data.embedded import emoji, fashion_mini
from difflab.data.images import measure_sigma_data
from difflab.errors import DifflabError
from difflab.files import embedded_dir


def test_fashion_mini_is_balanced_in_every_prefix() -> None:
    train, val = fashion_mini([1, 32, 32])
    assert (train.pixels.shape, val.pixels.shape) == ((20_000, 1, 32, 32), (2_000, 1, 32, 32))
    for images, n in ((train, 20_000), (train, 500), (val, 2_000)):
        assert images.labels is not None
        assert torch.bincount(images.labels[:n]).tolist() == [n // 10] * 10
    assert measure_sigma_data(train.pixels) == pytest.approx(0.664, abs=0.001)


def test_fashion_mini_has_no_picture_in_both_splits() -> None:
    train, val = fashion_mini([1, 32, 32])
    seen = {p.numpy().tobytes() for p in train.pixels}
    assert sum(p.numpy().tobytes() in seen for p in val.pixels) == 0


def test_emoji_counts_and_columns() -> None:
    train, val = emoji([3, 32, 32])
    assert (train.pixels.shape, val.pixels.shape) == ((4_711, 3, 32, 32), (507, 3, 32, 32))
    assert train.captions is not None
    assert "cat with tears of joy" in train.captions
    assert train.classes == val.classes
    assert train.classes is not None
    assert len(train.classes) == 9
    assert measure_sigma_data(train.pixels) == pytest.approx(0.597, abs=0.001)
    corners = train.pixels[:, :, 0, 0]
    assert (corners == 255).all(1).float().mean() > 0.8  # on white


def test_emoji_splits_share_no_name_and_no_picture() -> None:
    train, val = emoji([3, 32, 32])
    assert train.captions is not None
    assert val.captions is not None
    assert not set(train.captions) & set(val.captions)
    seen = {p.numpy().tobytes() for p in train.pixels}
    assert sum(p.numpy().tobytes() in seen for p in val.pixels) == 0


def test_emoji_has_no_skin_tones_and_a_row_for_each_picture() -> None:
    rows = json.loads((embedded_dir() / "emoji/emoji.json").read_text())
    assert len(rows) == len(read_arrays(embedded_dir() / "emoji/emoji.npz")["pixels"])
    assert not [r["name"] for r in rows if "skin tone" in r["name"]]
    assert {r["style"] for r in rows} == {"noto", "twemoji", "fluent"}


def test_emoji_captions_follow_the_template() -> None:
    train, _ = emoji([3, 16, 16], caption="{style}: {name}")
    assert train.captions is not None
    assert "noto: cat with tears of joy" in train.captions
    with pytest.raises(DifflabError, match=r"may use \{name\}, \{style\} and \{category\} alone"):
        emoji([3, 32, 32], caption="{colour}")


def test_licences_and_contact_sheets_are_there() -> None:
    for name, licences in (("fashion_mini", 1), ("emoji", 3)):
        folder = embedded_dir() / name
        assert len(list(folder.glob("LICENSE*"))) == licences
        assert (folder / "README.md").is_file()
        with Image.open(folder / "contact_sheet.png") as sheet:
            assert min(sheet.size) > 200
    size = sum(f.stat().st_size for f in (embedded_dir() / "fashion_mini").iterdir())
    assert size < 9e6


def test_archives_hold_no_pickles_and_are_reproducible(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    for name in ("a.npz", "b.npz"):
        write_arrays(tmp_path / name, {"x": array})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert np.array_equal(np.load(tmp_path / "a.npz", allow_pickle=False)["x"], array)
    with pytest.raises(ValueError, match="Object arrays"):
        write_arrays(tmp_path / "c.npz", {"x": np.array([{}], dtype=object)})
    assert not (tmp_path / "c.npz").exists()


def test_damaged_and_missing_archives_are_named(tmp_path: Path) -> None:
    whole = (embedded_dir() / "emoji/emoji.npz").read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for content in (whole[: len(whole) // 2], b"", b"no archive", bytes(flipped), lzma.compress(b"x")):
        (tmp_path / "emoji.npz").write_bytes(content)
        with pytest.raises(DifflabError, match=r"data file .*emoji.npz is damaged"):
            emoji([3, 32, 32], root=str(tmp_path))
    with pytest.raises(DifflabError, match="is missing"):
        fashion_mini([1, 32, 32], root=str(tmp_path))
