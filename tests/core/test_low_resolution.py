"""Pictures made of pictures in fewer pixels: averages are exact, and without one nothing is heard of them."""

import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from difflab.conditions.base import Given
from difflab.conditions.image import LowResolution
from difflab.data.embedded import emoji
from difflab.data.images import Images
from difflab.data.stream import as_batch
from difflab.denoiser import Denoiser
from difflab.errors import DifflabError
from difflab.guidance import ClassifierFree
from difflab.nets.mlp import MLP
from difflab.nets.unet import UNet
from difflab.pixels import save_png, to_model
from difflab.predictions import V
from difflab.rng import generator
from tests.core.test_conditions import ALPHA, SIGMA, randomised

SHAPE, TOLD = (3, 8, 8), {"channels": 3, "vector": 1}
NETS = {"unet": lambda: UNet(SHAPE, 16, [1, 2], 1, [4], told=TOLD), "mlp": lambda: MLP(SHAPE, 16, 2, told=TOLD)}


def low(factor: int = 2) -> LowResolution:
    return LowResolution(SHAPE, factor, TOLD, 0.1)


def pixels(n: int = 4) -> Tensor:
    return torch.randint(256, (n, *SHAPE), generator=generator(3), dtype=torch.uint8)


def given(n: int = 4) -> Given:
    return low().of_batch({"x0": to_model(pixels(n))})


@pytest.fixture(params=NETS)
def denoiser(request: pytest.FixtureRequest) -> Denoiser:
    return randomised(Denoiser(NETS[request.param](), V(), 0.5, low())).requires_grad_(False)


@pytest.mark.parametrize("factor", [2, 4])
def test_the_low_resolution_is_the_mean_of_squares(factor: int) -> None:
    found = low(factor).of_batch({"x0": to_model(pixels())}).values
    side = 8 // factor
    for row, column in ((0, 0), (side - 1, 1)):
        square = pixels()[..., row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
        assert torch.equal(found[..., row, column], square.double().mean((-1, -2)).round().byte())


def test_the_low_resolution_is_what_the_data_has_at_the_smaller_shape() -> None:
    """So that what a run of 16x16 samples can be enlarged by a run of 32x32."""
    (large, _), (small, _) = (emoji((3, side, side), root=None, caption="{name}") for side in (32, 16))
    condition = LowResolution((3, 32, 32), 2, TOLD, 0.1)
    first = torch.arange(50)
    assert torch.equal(condition.of_batch(as_batch(large.select(first))).values, small.pixels[:50])


def test_a_network_is_told_the_picture_enlarged_and_that_there_is_one() -> None:
    rows = Given(given().values, torch.tensor([False, True, False, True]), ["8x8"] * 4)
    told = low()(rows)
    assert told.vector is not None and told.picture is not None
    assert told.vector.flatten().tolist() == [1, 0, 1, 0]
    assert told.picture[1::2].abs().max() == 0
    assert torch.equal(told.picture[0, :, 1::2, ::2], to_model(rows.values[0]))


def test_null_rows_are_the_unconditional_denoiser_to_the_bit(denoiser: Denoiser) -> None:
    x = torch.randn(4, *SHAPE, generator=generator(1))
    null = torch.tensor([False, True, False, True])
    told = denoiser.given(Given(given().values, null, [""] * 4))(x, ALPHA, SIGMA)
    plain = denoiser(x, ALPHA, SIGMA)
    assert torch.equal(denoiser.given(denoiser.condition.null(4))(x, ALPHA, SIGMA), plain)
    assert torch.equal(told[null], plain[null])
    assert (told - plain)[~null].abs().amax((1, 2, 3)).min() > 1e-4
    assert torch.equal(
        ClassifierFree(1.0).of(denoiser, given())(x, ALPHA, SIGMA), denoiser.given(given())(x, ALPHA, SIGMA)
    )


def test_a_file_of_either_resolution_says_what_the_batch_did(tmp_path: Path) -> None:
    save_png(tmp_path / "full.png", pixels()[0])
    save_png(tmp_path / "low.png", given().values[0])
    asked = low().ask([str(tmp_path / "full.png"), str(tmp_path / "low.png"), ""])
    assert torch.equal(asked.values[0], given().values[0])
    assert torch.equal(asked.values[1], given().values[0])
    assert asked.null.tolist() == [False, False, True]
    assert asked.words == ["full.png", "low.png", ""]


def test_transparent_and_grey_files_are_read_as_data_is(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (9, 9, 9, 0)).save(tmp_path / "clear.png")
    Image.new("L", (4, 4), 7).save(tmp_path / "grey.png")
    asked = low().ask([str(tmp_path / "clear.png"), str(tmp_path / "grey.png")])
    assert asked.values.amin((1, 2, 3)).tolist() == asked.values.amax((1, 2, 3)).tolist() == [255, 7]


def test_a_picture_that_keeps_what_it_was_given_is_told_from_one_that_does_not() -> None:
    rows, one_off = given(), low().beside(given(), pixels())
    assert one_off.shape == (4, 3, 8, 16)
    assert torch.equal(one_off[..., 8:], pixels())
    assert low().kept(rows, pixels()) == {"low_resolution_psnr": math.inf}
    enlarged = one_off[..., :8]
    shifted = torch.where(enlarged < 255, enlarged + 1, enlarged - 1)
    assert low().kept(rows, shifted)["low_resolution_psnr"] == pytest.approx(48.13, abs=0.01)  # 20 log10(255)
    assert low().kept(low().null(2), pixels(2)) == {}


def test_drawn_pictures_are_enlarged_at_their_own_index() -> None:
    images = Images(pixels(20))
    rows = low().of_batch(as_batch(images))
    assert torch.equal(rows.at(torch.tensor([7, 2])).values, rows.values[[7, 2]])


@pytest.mark.parametrize(("factor", "told", "words"), [
    (3, TOLD, r"condition.factor=3 does not divide pictures of 8x8"),
    (1, TOLD, r"condition.factor=1 does not divide"),
    (2, {"channels": 4, "vector": 1}, r"told as channels: 3"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(factor: int, told: dict[str, int], words: str) -> None:
    with pytest.raises(DifflabError, match=words):
        LowResolution(SHAPE, factor, told, 0.1)


def test_a_file_of_another_size_or_none_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (5, 4)).save(tmp_path / "odd.png")
    (tmp_path / "text.png").write_text("no picture")
    for name, words in {"odd.png": "5x4 pixels: this run takes 4x4, or 8x8", "text.png": "can't be read",
                        "none.png": "no such file"}.items():  # fmt: skip
        with pytest.raises(DifflabError, match=words):
            low().ask([str(tmp_path / name)])
