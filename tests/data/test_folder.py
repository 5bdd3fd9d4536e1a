import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from difflab.data.decode import Decoder
from difflab.data.folder import folder
from difflab.errors import DifflabError

RED, BLUE = (255, 0, 0), (0, 0, 255)


def save(path: Path, picture: Image.Image, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)


def plain(colour: tuple[int, ...] = RED, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Image.Image:
    return Image.new(mode, size, colour)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for i in range(12):
        save(tmp_path / f"cats/{i}.png", plain((i, 0, 0)))
        save(tmp_path / f"dogs/deep/{i}.JPG", plain((0, 200, i)), quality=95)
    (tmp_path / "cats/3.txt").write_text("a red\n cat \n")
    (tmp_path / "dogs/notes.md").write_text("no picture")
    save(tmp_path / ".thumbnails/x.png", plain())
    return tmp_path


def test_sub_folders_are_classes_and_texts_are_captions(tree: Path) -> None:
    train, val = folder(str(tree), [3, 8, 8])
    assert len(train) + len(val) == 24
    assert train.classes == val.classes == ["cats", "dogs"]
    labels = torch.cat([train.labels, val.labels])
    assert labels.bincount().tolist() == [12, 12]
    captions = [*train.captions, *val.captions]
    assert captions.count("a red cat") == 1
    assert captions.count("") == 23
    red = torch.cat([train.pixels, val.pixels])[labels == 0][:, 0, 0, 0]
    assert sorted(red.tolist()) == list(range(12))


def test_the_split_is_seeded_and_stable_when_files_come(tree: Path) -> None:
    def held_out(**options: Any) -> set[bytes]:
        _, val = folder(str(tree), [3, 8, 8], val_fraction=0.3, **options)
        return {p.numpy().tobytes() for p in val.pixels}

    before = held_out()
    assert before == held_out()
    assert before != held_out(split_seed=1)
    save(tree / "cats/new.png", plain((200, 200, 200)))
    assert before <= held_out()


def test_a_second_folder_for_validation(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("val")
    save(other / "cats/a.png", plain())
    with pytest.raises(DifflabError, match="give both the same sub-folders"):
        folder(str(tree), [3, 8, 8], val_root=str(other))
    save(other / "dogs/a.png", plain())
    train, val = folder(str(tree), [3, 8, 8], val_root=str(other))
    assert (len(train), len(val)) == (24, 2)


def test_pictures_in_the_root_are_unlabelled(tree: Path) -> None:
    save(tree / "top.png", plain())
    train, _ = folder(str(tree), [3, 8, 8])
    assert train.labels is None
    assert train.classes is None


def broken_files(root: Path) -> None:
    whole = (root / "cats/0.png").read_bytes()
    (root / "cats/text.png").write_text("not a picture")
    (root / "cats/empty.jpg").write_bytes(b"")
    (root / "cats/cut.png").write_bytes(whole[: len(whole) // 2])


def test_broken_files_are_named_and_skipped(tree: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken_files(tree)
    with caplog.at_level(logging.WARNING):
        train, val = folder(str(tree), [3, 8, 8])
    assert len(train) + len(val) == 24
    assert "left out 3 of 27 pictures" in caplog.text
    assert all(name in caplog.text for name in ("cats/text.png", "cats/empty.jpg", "cats/cut.png"))


def test_broken_files_are_refused_by_choice(tree: Path) -> None:
    broken_files(tree)
    with pytest.raises(DifflabError, match=r"3 of 27 pictures .*cats/cut.png .*broken=skip"):
        folder(str(tree), [3, 8, 8], broken="refuse")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"root": None}, "data.root=DIR"),
        ({"root": "/nowhere/at/all"}, "data folder /nowhere/at/all does not exist"),
        ({"broken": "hide"}, "broken=hide .* use skip or refuse"),
        ({"resize": "stretch"}, "resize=stretch .* use crop, pad or squash"),
        ({"background": "blurple"}, "background=blurple is not a colour"),
        ({"shape": [2, 8, 8]}, "2 channels"),
        ({"val_fraction": 0.0}, "val_fraction=0.0 .* between 0 and 1"),
    ],
)
def test_wrong_settings(options: dict[str, Any], message: str, tree: Path) -> None:
    with pytest.raises(DifflabError, match=message) as caught:
        folder(**{"root": str(tree), "shape": [3, 8, 8], **options})
    assert "\n" not in str(caught.value)


def test_folders_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(DifflabError, match="holds no picture"):
        folder(str(tmp_path), [3, 8, 8])
    (tmp_path / "a.png").write_bytes(b"junk")
    with pytest.raises(DifflabError, match="none of the 1 pictures"):
        folder(str(tmp_path), [3, 8, 8])
    save(tmp_path / "a.png", plain())
    with pytest.raises(DifflabError, match="two splits need at least 2"):
        folder(str(tmp_path), [3, 8, 8])


def opened(path: Path, picture: Image.Image, **options: Any) -> Image.Image:
    save(path, picture, **options)
    return Image.open(path)


def test_transparency_shows_the_background(tmp_path: Path) -> None:
    picture = plain((255, 0, 0, 0), mode="RGBA")
    picture.paste((255, 0, 0, 255), (0, 0, 4, 8))
    decoded = Decoder([3, 8, 8], background="#0000ff")(opened(tmp_path / "a.png", picture))
    assert decoded[:, 0, 0].tolist() == list(RED)
    assert decoded[:, 0, 7].tolist() == list(BLUE)
    half = Decoder([3, 8, 8])(plain((0, 0, 0, 128), mode="RGBA"))
    assert half[:, 0, 0].tolist() == [127] * 3


def test_palettes_with_and_without_transparency(tmp_path: Path) -> None:
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([0, 0, 0, *BLUE])
    assert Decoder([3, 8, 8])(opened(tmp_path / "a.png", picture))[:, 0, 0].tolist() == list(BLUE)
    clear = opened(tmp_path / "b.png", picture, transparency=1)
    assert Decoder([3, 8, 8], background="red")(clear)[:, 0, 0].tolist() == list(RED)


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_sixteen_bits_keep_their_range(ending: str, tmp_path: Path) -> None:
    levels = np.repeat(np.array([[0, 257 * 100, 65535, 65535]], np.uint16), 4, 0)
    decoded = Decoder([1, 4, 4])(opened(tmp_path / f"a.{ending}", Image.fromarray(levels)))
    assert decoded[0, 0].tolist() == [0, 100, 255, 255]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "CMYK", "YCbCr", "HSV"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_becomes_the_configured_channels(mode: str, channels: int) -> None:
    picture = Image.new("RGB", (8, 8), "white").convert("L" if mode == "LA" else "RGB").convert(mode)
    decoded = Decoder([channels, 8, 8])(picture)
    assert decoded.shape == (channels, 8, 8)
    assert (decoded == 255).all()


def test_cameras_that_were_turned(tmp_path: Path) -> None:
    picture = plain(RED, (8, 8))
    picture.paste(BLUE, (0, 0, 8, 4))  # blue above red
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    decoded = Decoder([3, 8, 8])(opened(tmp_path / "a.png", picture, exif=exif))
    assert decoded[:, 4, 7].tolist() == list(BLUE)
    assert decoded[:, 4, 0].tolist() == list(RED)


def test_other_aspect_ratios() -> None:
    wide = plain(RED, (24, 8))
    wide.paste(BLUE, (8, 0, 16, 8))  # red, blue, red
    crop = Decoder([3, 8, 8], "crop")(wide)
    assert (crop[2] == 255).all()
    pad = Decoder([3, 9, 9], "pad", "white")(wide)
    assert pad[:, 0, 4].tolist() == [255, 255, 255]
    assert pad[2, 4, 4] > 200 > pad[2, 4, 0]
    squash = Decoder([3, 8, 12], "squash")(wide)
    assert squash[:, 4, 1].tolist() == list(RED)
    assert squash[:, 4, 5].tolist() == list(BLUE)
