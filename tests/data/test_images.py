import pytest
import torch

from difflab.data.images import Images, fit, measure_sigma_data
from difflab.errors import DifflabError


def pictures(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_digest_is_of_the_content_alone() -> None:
    pixels = pictures(4, 1, 8, 8)
    assert Images(pixels).digest() == Images(pixels.clone()).digest()
    other = pixels.clone()
    other[3, 0, 7, 7] ^= 1
    variants = [
        Images(pixels),
        Images(other),
        Images(pixels.reshape(4, 1, 4, 16)),
        Images(pixels, torch.arange(4)),
        Images(pixels, torch.zeros(4, dtype=torch.int64)),
        Images(pixels, None, ["a", "b", "c", "d"]),
    ]
    assert len({v.digest() for v in variants}) == len(variants)


def test_digest_does_not_depend_on_the_layout_in_memory() -> None:
    pixels = pictures(4, 8, 8, 3).permute(0, 3, 1, 2)
    assert Images(pixels).digest() == Images(pixels.contiguous()).digest()


def test_columns_must_be_as_long_as_the_pictures() -> None:
    with pytest.raises(ValueError, match="4 pictures but 3 captions"):
        Images(pictures(4, 1, 8, 8), captions=["a", "b", "c"])


def test_select_keeps_columns_together() -> None:
    images = Images(pictures(3, 1, 4, 4), torch.tensor([5, 6, 7]), ["a", "b", "c"])
    chosen = images.select(torch.tensor([2, 0]))
    assert torch.equal(chosen.pixels, images.pixels[[2, 0]])
    assert chosen.labels is not None
    assert chosen.labels.tolist() == [7, 5]
    assert chosen.captions == ["c", "a"]


def test_sigma_data_is_the_standard_deviation_in_model_units() -> None:
    pixels = pictures(50, 3, 8, 8)
    expected = (pixels.double() / 127.5 - 1).std(correction=0)
    assert measure_sigma_data(pixels) == pytest.approx(expected.item(), abs=1e-12)


def test_fit_pads_to_the_canvas() -> None:
    pixels = pictures(2, 1, 28, 28)
    padded = fit(pixels, (1, 32, 32), "x", canvas=32)
    assert torch.equal(padded[:, :, 2:30, 2:30], pixels)
    assert padded.sum() == pixels.sum()


def test_fit_averages_areas_after_padding() -> None:
    pixels = pictures(2, 1, 28, 28)
    small = fit(pixels, [1, 16, 16], "x", canvas=32)
    expected = pixels[1, 0, 10:12, 4:6].float().mean()  # padded by 2: cell (6, 3)
    assert small.shape == (2, 1, 16, 16)
    assert abs(small[1, 0, 6, 3] - expected) <= 0.5


def test_fit_repeats_grey_into_rgb() -> None:
    pixels = pictures(2, 1, 8, 8)
    assert torch.equal(fit(pixels, (3, 8, 8), "x"), pixels.repeat(1, 3, 1, 1))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 9), (3, 4, 8), (4, 8, 8), (3, 0, 0), (9, 8, 8)])
def test_fit_refuses_in_one_line(shape: tuple[int, int, int]) -> None:
    with pytest.raises(DifflabError, match="data set x has pictures of 3x8x8") as caught:
        fit(pictures(2, 3, 8, 8), shape, "x")
    assert "\n" not in str(caught.value)
