"""What probes see against what was asked for: pictures whose colour is their style, and extractors that see it."""

import pytest
import torch

from difflab.data.image_data import ImageData
from difflab.data.images import Images
from difflab.errors import DifflabError
from difflab.metrics.extractor import Extractor, Reading
from difflab.scoring.attributes import shown
from difflab.scoring.seen import Seen

STYLES, PLACES = ("red", "green"), ("left", "right")
HELD_OUT = [0, 1, 2, 3, 3, 3, 0, 1]


class Corners:
    """The mean of each channel of the left and of the right half: colour and place can be read off."""

    name, names, dim, resize, batch, weights_sha256 = "corners", {}, 6, "none", 64, "c" * 64

    def __call__(self, images: torch.Tensor) -> Reading:
        halves = images.float().unflatten(-1, (2, -1)).mean((-1, -3))
        return Reading(halves.flatten(1))


def pictures(kinds: list[int], seed: int = 0) -> Images:
    """Noise, and a bright half: kind 0 left red, 1 right red, 2 left green, 3 right green."""
    pixels = torch.randint(0, 60, (len(kinds), 3, 4, 4), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)
    for i, kind in enumerate(kinds):
        at = 2 * (kind % 2)
        pixels[i, kind // 2, :, at : at + 2] = 200
    captions = [f"dot {i}, {STYLES[kind // 2]}, {PLACES[kind % 2]}" for i, kind in enumerate(kinds)]
    return Images(pixels, torch.tensor([kind // 2 for kind in kinds]), captions)


@pytest.fixture
def data() -> ImageData:
    train, val = pictures([0, 1, 2, 3] * 20), pictures(HELD_OUT, seed=1)
    return ImageData(
        source=lambda: (train, val), name="dots", shape=(3, 4, 4), classes=["warm", "cold"], captions=True,
        sigma_data=0.5, flip=False, batch_size=4, seed=0, tags=["style", "place"],
    )  # fmt: skip


@pytest.fixture
def seen(data: ImageData) -> Seen:
    assert isinstance(Corners(), Extractor)
    return Seen.by(Corners(), data)


def test_figures_are_the_shares_that_are_right(seen: Seen, data: ImageData) -> None:
    made = pictures([0, 1, 2, 3, 2, 1, 0, 0], seed=2)  # of what was asked, 2 have another place and 1 another style
    figures = seen.figures(Corners()(made.pixels).features, data.val, {"sampler": "none"})
    assert {f.name: f.value for f in figures} == {"agreement_style_corners": 7 / 8, "agreement_place_corners": 6 / 8}
    style = figures[0]
    assert style.error == pytest.approx((8 / 10 * 2 / 10 / 11) ** 0.5)  # by Laplace's rule
    assert style.protocol["reference"] == "dots/train"
    assert (style.protocol["n"], style.protocol["words"], style.protocol["sampler"]) == (8, 2, "none")


def test_real_pictures_are_recognised(seen: Seen, data: ImageData) -> None:
    figures = seen.figures(Corners()(data.val.pixels).features, data.val, {})
    assert [f.value for f in figures] == [1.0, 1.0]
    assert seen.probes["style"].probe.left_out == 1.0


def test_a_word_that_training_has_not_is_never_seen(seen: Seen, data: ImageData) -> None:
    asked = Images(data.val.pixels, captions=[f"dot, blue, {PLACES[kind % 2]}" for kind in HELD_OUT])
    figures = seen.figures(Corners()(data.val.pixels).features, asked, {})
    assert [f.value for f in figures] == [0.0, 1.0]


def test_what_pictures_show_is_their_tags_or_else_their_class(data: ImageData) -> None:
    assert shown(data.val, data) == {
        "style": [STYLES[kind // 2] for kind in HELD_OUT], "place": [PLACES[kind % 2] for kind in HELD_OUT],
    }  # fmt: skip
    data.tags = []
    assert shown(data.val, data) == {"label": [("warm", "cold")[kind // 2] for kind in HELD_OUT]}
    with pytest.raises(DifflabError, match=r"dots has neither data\.tags nor data\.classes"):
        shown(Images(data.val.pixels), data)
