"""Pictures change form without loss, and files hold what was given."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from difflab.pixels import grid, save_gif, save_png, to_model, to_uint8


def test_all_levels_survive_the_round_trip() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    x = to_model(levels)
    assert x.min() == -1
    assert x.max() == 1
    assert torch.equal(to_uint8(x), levels)


def test_values_are_rounded_and_clamped() -> None:
    x = torch.tensor([-9.0, -1 + 0.6 / 127.5, 9.0]).reshape(1, 1, 1, 3)
    assert to_uint8(x).flatten().tolist() == [0, 1, 255]


def test_grid_keeps_order_and_fills_with_white() -> None:
    images = torch.arange(3, dtype=torch.uint8).reshape(3, 1, 1, 1).expand(3, 1, 2, 2)
    out = grid(images, columns=2, scale=2)
    assert out.shape == (1, 8, 8)
    assert [out[0, y, x].item() for y, x in ((0, 0), (0, 4), (4, 0), (4, 4))] == [0, 1, 2, 255]


def test_png_is_lossless_in_grey_and_colour(tmp_path: Path) -> None:
    for channels in (1, 3):
        image = torch.randint(0, 256, (channels, 5, 7), dtype=torch.uint8)
        save_png(tmp_path / "a.png", image)
        back = np.array(Image.open(tmp_path / "a.png")).reshape(5, 7, channels)
        assert np.array_equal(back, image.permute(1, 2, 0).numpy())


def test_gif_has_every_frame(tmp_path: Path) -> None:
    frames = [torch.full((1, 4, 4), v, dtype=torch.uint8) for v in (0, 100, 200)]
    save_gif(tmp_path / "a.gif", frames)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 3  # type: ignore[attr-defined]
