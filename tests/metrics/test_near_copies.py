"""Is it new? Copies are found for what they are, and real pictures are not taken for copies."""

import math
from collections.abc import Sequence

import pytest
import torch
from jaxtyping import UInt8
from scipy.stats import mannwhitneyu
from torch import Tensor

from difflab.data.embedded import fashion_mini
from difflab.data.images import Images
from difflab.errors import DifflabError
from difflab.metrics.efficientnet_lite0 import EfficientNetLite0
from difflab.metrics.near_copies import by_real, close, copying_z, limit, nearer_than_real, rank_test, share
from difflab.metrics.novelty import Judged, figures, judge, words
from difflab.metrics.spaces import FeatureSpace, PixelSpace, Space, closeness
from difflab.rng import generator

N = 300
SPACES = ("efficientnet_lite0", "pixels")


@pytest.fixture(scope="module")
def real() -> tuple[Images, UInt8[Tensor, "n 1 32 32"], UInt8[Tensor, "n 1 32 32"]]:
    """Garments: some to train on, and twice as many others of the same source."""
    train = fashion_mini((1, 32, 32))[0]
    train = train.select(torch.randperm(len(train), generator=generator(0, "order"))[: 5 * N])
    return train.select(torch.arange(3 * N)), train.pixels[3 * N : 4 * N], train.pixels[4 * N :]


@pytest.fixture(scope="module")
def spaces(real, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Space]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFLAB_CACHE", str(tmp_path_factory.mktemp("features")))
        return {"efficientnet_lite0": FeatureSpace(EfficientNetLite0(), real[0]), "pixels": PixelSpace(real[0])}


def noisy(images: Tensor) -> Tensor:
    """Every pixel one grey level up or down."""
    step = torch.randint(0, 2, images.shape, generator=generator(0, "level")) * 2 - 1
    return (images.int() + step).clamp(0, 255).to(torch.uint8)


def judged(spaces, real, made: Tensor, mirrored: bool = False) -> list[Judged]:
    train, held_out, _ = real
    return [judge(space, made, held_out, train, mirrored, seed=0) for space in spaces.values()]


def scored(found: Sequence[Judged]) -> dict[str, dict[str, float]]:
    """Values by figure, of the samples and of the real pictures."""
    out: dict[str, dict[str, float]] = {"samples": {}, "real": {}}
    for figure in figures(found, 0.05, {"of": "samples"}, {"of": "real"}):
        out[str(figure.protocol["of"])][figure.name] = figure.value
    return out


@pytest.fixture(scope="module")
def copied() -> Tensor:
    return torch.randperm(3 * N, generator=generator(0, "copied"))[:60]


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("mirrored", [False, True])
def test_copies_are_found_at_zero_and_whose_they_are(spaces, real, copied, name, mirrored):
    copies = real[0].pixels[copied]
    found = closeness(spaces[name], copies.flip(-1) if mirrored else copies, real[0], mirrored)
    assert torch.equal(found.near.rows[:, 0], copied)
    assert found.near_copy.all()
    assert not found.authentic.any()
    # The features of a picture are the same in any batch to 1e-5 of their length.
    length = spaces[name].train.double().norm(dim=1).max()
    assert found.distance.max() <= (0 if name == "pixels" else 1e-5 * length)


@pytest.mark.parametrize(("name", "least"), [("pixels", 1.0), ("efficientnet_lite0", 0.85)])
def test_copies_with_noise_of_a_grey_level_are_found(spaces, real, copied, name, least):
    """By pixels all of them. An extractor sees in the noise what no eye does: it misses some."""
    found = closeness(spaces[name], noisy(real[0].pixels[copied]), real[0], mirrored=False)
    assert found.near_copy.double().mean() >= least
    assert found.authentic.double().mean() <= 0.05
    assert (found.near.rows[:, 0] == copied).double().mean() >= 0.95
    if name == "pixels":
        assert found.distance.min() > 0.5  # black cannot go down
        assert found.distance.max() <= 1


@pytest.mark.parametrize("name", SPACES)
def test_mirrored_copies_count_only_where_training_mirrors(spaces, real, name):
    mirrored = real[0].pixels[:60].flip(-1)
    found = closeness(spaces[name], mirrored, real[0], mirrored=False)
    assert found.near_copy.double().mean() < 0.5
    assert found.distance.median() > 10 * closeness(spaces[name], mirrored, real[0], mirrored=True).distance.max()


def test_training_pictures_as_samples_are_all_called_copies(spaces, real):
    found = judged(spaces, real, real[0].pixels[:60])
    samples, held_out = scored(found).values()
    assert samples["exact_copies_pixels"] == 1
    assert held_out["exact_copies_pixels"] == 0
    for name in SPACES:
        assert (samples[f"near_copies_{name}"], samples[f"authenticity_{name}"], samples[f"close_{name}"]) == (1, 0, 1)
        assert held_out[f"near_copies_{name}"] < 0.1
        assert samples[f"copying_z_{name}"] < -10
    text = words(found, 0.05)
    assert text[0].startswith(
        "pixels: 60 of 60 samples (100 % ± 1.6 %) are exact copies; 0 of 300 held-out real pictures ("
    )
    assert text[0].endswith(": MORE than among real ones")
    assert "nearer to training pictures than real ones do (z = -1" in text[-1]


def test_real_pictures_as_samples_are_called_as_new_as_real_ones(spaces, real):
    found = judged(spaces, real, real[2])
    all_of = figures(found, 0.05, {}, {})
    for made, held_out in zip(all_of[: len(all_of) // 2], all_of[len(all_of) // 2 :], strict=True):
        assert made.name == held_out.name
        if made.name.startswith("copying_z"):
            assert max(abs(made.value), abs(held_out.value)) < 3
        else:
            assert abs(made.value - held_out.value) < 3 * math.hypot(made.error, held_out.error), made.name
    text = words(found, 0.05)
    assert sum("as far from training pictures as real ones do" in line for line in text) == 2
    assert "MORE" not in " ".join(text)


def test_a_few_copies_among_new_pictures_are_more_than_among_real_ones(spaces, real):
    text = words(judged(spaces, real, torch.cat([real[2][:160], real[0].pixels[:40]])), 0.05)
    assert [line.partition(":")[0] for line in text if "near-copies" in line and "MORE" in line] == list(SPACES)


def test_figures_name_their_protocol_and_are_a_function_of_their_seed(spaces, real):
    made = {"n": 20, "reference": "garments/train", "flips": "none"}
    one, again, other = ([judge(spaces["pixels"], real[2][:20], real[1], real[0], False, seed)] for seed in (0, 0, 1))
    first, second, third = (figures(x, 0.05, made, {}) for x in (one, again, other))
    assert first == second != third
    assert [f.name for f in first][:6] == [
        f"{x}_pixels" for x in ("exact_copies", "near_copies", "authenticity", "nearer_than_real", "copying_z", "close")
    ]
    protocol = first[5].protocol
    assert {"n": 20, "yardstick_n": 150, "extractor": "pixels", "flips": "none"}.items() <= protocol.items()
    assert protocol["expected"] == pytest.approx(7 / 151)
    assert "\n" not in str(first[5])


@pytest.mark.parametrize("made", [torch.zeros(2, 1, 16, 16), torch.zeros(2, 3, 32, 32)])
def test_pictures_of_another_shape_are_refused(spaces, real, made):
    with pytest.raises(DifflabError, match="among training pictures of 1x32x32"):
        closeness(spaces["pixels"], made.to(torch.uint8), real[0], mirrored=False)


def test_too_few_held_out_pictures_are_refused(spaces, real):
    with pytest.raises(DifflabError, match="1 held-out pictures: novelty needs"):
        judge(spaces["pixels"], real[2], real[1][:1], real[0], mirrored=False, seed=0)


@pytest.mark.parametrize("levels", [3, 10**9])
def test_rank_test_is_scipys(levels):
    g = generator(0, "ranks")
    for n, m in ((5, 9), (60, 40)):
        x, y = (torch.randint(0, levels, (k,), generator=g).double() for k in (n, m))
        mine = rank_test(x, y)
        theirs = mannwhitneyu(x, y, alternative="less", method="asymptotic", use_continuity=False)
        assert mine.p == pytest.approx(theirs.pvalue, rel=1e-9)
        assert nearer_than_real(x, y).value == pytest.approx(1 - theirs.statistic / (n * m), rel=1e-12)
    assert rank_test(torch.zeros(3).double(), torch.zeros(4).double()) == (0.0, 0.5)


def draws(n: int, name: str) -> Tensor:
    return torch.rand(n, 40, dtype=torch.float64, generator=generator(0, name))


def test_errors_are_the_spread_over_many_draws():
    """Of shares, of z where nothing is copied; and the expected share is the mean one."""
    made, real = draws(2000, "made"), draws(2000, "real")
    shares = [share("x", row < 0.1) for row in made]
    values = torch.tensor([v.value for v in shares])
    assert values.std().item() == pytest.approx(sum(v.error for v in shares) / 2000, rel=0.1)
    z = torch.tensor([copying_z(a, b).value for a, b in zip(made, real, strict=True)])
    assert z.mean().abs() < 3 / 2000**0.5
    assert z.std().item() == pytest.approx(1, rel=0.05)
    # Its error is over the samples, the real pictures as they are.
    nearer = [nearer_than_real(row, real[0]) for row in made]
    assert torch.tensor([v.value for v in nearer]).std().item() == pytest.approx(
        sum(v.error for v in nearer) / 2000, rel=0.1
    )
    within = [close(a, b, 0.1) for a, b in zip(made, real, strict=True)]
    assert sum(v.value for v in within) / 2000 == pytest.approx(4 / 41, rel=0.05)
    assert within[0].details["expected"] == 4 / 41


def test_no_copy_among_few_is_not_certain_to_be_none():
    none, few = share("x", torch.zeros(10, dtype=torch.bool)), share("x", torch.zeros(1000, dtype=torch.bool))
    assert (none.value, few.value) == (0, 0)
    assert none.error > 0.07 > 0.0011 > few.error > 0


def test_a_limit_needs_enough_real_pictures():
    assert limit(torch.arange(18).double(), 0.05) is None
    assert limit(torch.arange(19).double(), 0.05) == (0, 1 / 20)
    assert [v.name for v in by_real(torch.ones(3).double(), torch.ones(18).double(), 0.05)] == [
        "nearer_than_real",
        "copying_z",
    ]
