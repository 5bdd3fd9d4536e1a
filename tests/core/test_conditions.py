"""What a network is told of a condition, and what guidance makes of it: bit for bit where nothing may differ."""

from functools import partial

import pytest
import torch
from torch import Tensor

from difflab.conditions.asked import Drawn, InTurn
from difflab.conditions.base import NOTHING, Condition, Given, Told
from difflab.conditions.label import Label
from difflab.conditions.none import NoCondition
from difflab.data.images import Images
from difflab.denoiser import Conditional, Denoiser
from difflab.errors import DifflabError
from difflab.generation import Generation
from difflab.grids import Karras
from difflab.guidance import Autoguidance, ClassifierFree, NoGuidance
from difflab.nets.cost import gflop_of
from difflab.nets.dit import DiT
from difflab.nets.mlp import MLP
from difflab.nets.unet import UNet
from difflab.oracles import gaussian
from difflab.predictions import V
from difflab.rng import generator
from difflab.samplers import adaptive, heun
from difflab.schedules import Cosine
from difflab.tasks import Inputs, Reword
from difflab.thresholding import Clip

CLASSES = ["coat", "bag", "T-shirt"]
SHAPE = (1, 8, 8)
WIDTHS = {"vector": 12, "tokens": 20, "channels": 2}
NETS = {
    "unet": lambda told: UNet(SHAPE, 16, [1, 2], 1, [4], told=told),
    "dit": lambda told: DiT(SHAPE, 16, 2, 2, told=told),
    "mlp": lambda told: MLP(SHAPE, 16, 2, told=told),
}
ALPHA, SIGMA = torch.tensor(0.6).double(), torch.tensor(0.8).double()


def randomised(net: torch.nn.Module) -> torch.nn.Module:
    """All weights away from zero, so that every path counts."""
    draw = generator(0)
    for p in net.parameters():
        p.data = 0.2 * torch.randn(p.shape, generator=draw)
    return net.eval()


def label(**told: int) -> Label:
    return Label(CLASSES, {"vector": 12} | told, 0.1)


@pytest.fixture(params=NETS)
def denoiser(request: pytest.FixtureRequest) -> Denoiser:
    return randomised(Denoiser(NETS[request.param]({"vector": 12}), V(), 0.5, label())).requires_grad_(False)


def x(n: int = 4) -> Tensor:
    return torch.randn(n, *SHAPE, generator=generator(1))


# Networks


@pytest.mark.parametrize("part", ["vector", "tokens", "picture"])
@pytest.mark.parametrize("net", NETS)
def test_a_network_hears_each_part_of_what_it_is_told(net: str, part: str) -> None:
    made = randomised(NETS[net](WIDTHS))
    told = {
        "vector": torch.randn(2, 12), "tokens": torch.randn(2, 5, 20), "picture": torch.randn(2, 2, 8, 8),
    }  # fmt: skip
    with torch.no_grad():
        one = made(x(2), torch.zeros(2), Told(**told))
        other = made(x(2), torch.zeros(2), Told(**told | {part: -told[part]}))
    assert one.shape == (2, *SHAPE)
    assert (one - other).abs().amax((1, 2, 3)).min() > 1e-4


@pytest.mark.parametrize("net", NETS)
def test_tokens_that_are_masked_are_not_heard(net: str) -> None:
    made, tokens = randomised(NETS[net]({"tokens": 20})), torch.randn(2, 5, 20)
    mask = torch.tensor([[1, 1, 0, 1, 0], [0, 0, 1, 0, 0]]).bool()
    noise = torch.where(mask[..., None], tokens, 9.0)
    with torch.no_grad():
        kept, changed = (made(x(2), torch.zeros(2), Told(tokens=t, mask=mask)) for t in (tokens, noise))
        without = made(x(2)[:1], torch.zeros(1), Told(tokens=tokens[:1, [0, 1, 3]]))
    assert torch.equal(kept, changed)
    torch.testing.assert_close(kept[:1], without, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("net", NETS)
def test_a_network_without_a_condition_has_no_weights_for_one(net: str) -> None:
    plain, told = (dict(NETS[net](widths).named_parameters()) for widths in (None, WIDTHS))
    assert plain.keys() < told.keys()


def test_a_unet_that_would_not_hear_its_tokens_is_refused() -> None:
    with pytest.raises(DifflabError, match=r"net.attention=\[16\]: none of them is one of its own, 8, 4"):
        UNet(SHAPE, 16, [1, 2], 1, [16], told={"tokens": 8})


@pytest.mark.parametrize(("size", "words"), [((8, 16, 3), "net.patch=3"), ((8, 18, 2), "net.width=18")])
def test_a_transformer_that_does_not_fit_is_refused(size: tuple[int, int, int], words: str) -> None:
    side, width, patch = size
    with pytest.raises(DifflabError, match=words):
        DiT((1, side, side), width, 1, patch)


def test_a_transformer_starts_at_zero_and_costs_what_its_layers_do() -> None:
    net = DiT((3, 8, 8), 64, 2, 2)
    assert net(torch.randn(2, 3, 8, 8), torch.zeros(2)).abs().max() == 0
    w, patches = 64, 16
    block = 2 * patches * (3 * w * w + w * w + 8 * w * w) + 2 * 2 * patches**2 * w + 2 * w * 6 * w
    ends = 2 * patches * 2 * (12 * w) + 2 * (128 * w + w * w) + 2 * w * 2 * w
    assert gflop_of(Denoiser(net, V(), 0.5), (3, 8, 8)) == pytest.approx((2 * block + ends) / 1e9)


def test_a_transformer_tells_rows_from_columns() -> None:
    net, picture = randomised(DiT(SHAPE, 16, 2, 2)), x(1)
    with torch.no_grad():
        turned = net(picture.transpose(2, 3), torch.zeros(1)).transpose(2, 3)
        assert (turned - net(picture, torch.zeros(1))).abs().max() > 1e-3


# The null condition is the unconditional path


def test_null_rows_are_the_unconditional_denoiser_to_the_bit(denoiser: Denoiser) -> None:
    told = denoiser.given(denoiser.condition.ask(["coat", "", "bag", ""]))(x(), ALPHA, SIGMA)
    null = denoiser.given(denoiser.condition.null(4))(x(), ALPHA, SIGMA)
    plain = denoiser(x(), ALPHA, SIGMA)
    assert torch.equal(null, plain)
    assert torch.equal(told[1::2], plain[1::2])
    assert (told[::2] - plain[::2]).abs().amax((1, 2, 3)).min() > 1e-4


def test_dropping_every_condition_trains_the_unconditional_path(denoiser: Denoiser) -> None:
    given = denoiser.condition.ask(["coat"] * 4).dropped(1.0, generator(0))
    assert torch.equal(denoiser.given(given)(x(), ALPHA, SIGMA), denoiser(x(), ALPHA, SIGMA))


def test_conditions_are_dropped_of_their_share_alone() -> None:
    rows = label().ask(["coat"] * 10_000)
    share = rows.dropped(0.1, generator(0)).null.double().mean().item()
    assert abs(share - 0.1) < 5 * (0.09 / 10_000) ** 0.5
    assert not rows.dropped(0.0, generator(0)).null.any()
    assert not torch.equal(rows.dropped(0.1, generator(0)).null, rows.dropped(0.1, generator(1)).null)


def test_no_condition_tells_nothing() -> None:
    plain = Denoiser(NETS["mlp"](None), V(), 0.5)
    given = plain.condition.of_batch({"x0": x()})
    assert plain.condition(given) is NOTHING
    assert torch.equal(plain.given(given)(x(), ALPHA, SIGMA), plain(x(), ALPHA, SIGMA))
    with pytest.raises(DifflabError, match="'coat' is asked of a run without a condition"):
        plain.condition.ask(["coat"])


# Guidance


def generation(guidance: object, asked: object) -> Generation:
    return Generation(heun, Karras(4).nodes(Cosine()), SHAPE, {"nfe": 7}, guidance).asking(asked)  # type: ignore[arg-type]


def test_guidance_of_scale_1_is_no_guidance_to_the_bit(denoiser: Denoiser) -> None:
    asked = InTurn(denoiser.condition.ask(["coat", "bag"]))
    plain, guided = (generation(g, asked).batch(denoiser, 0, range(4)) for g in (NoGuidance(), ClassifierFree(1.0)))
    assert torch.equal(plain, guided)


def test_guidance_goes_away_from_the_same_denoiser_without_its_condition(denoiser: Denoiser) -> None:
    given = denoiser.condition.ask(["coat"] * 4)
    guided = ClassifierFree(3.0).of(denoiser, given)(x(), ALPHA, SIGMA)
    u, c = denoiser(x(), ALPHA, SIGMA), denoiser.given(given)(x(), ALPHA, SIGMA)
    torch.testing.assert_close(guided, u + 3 * (c - u), rtol=1e-5, atol=1e-6)


def test_autoguidance_gives_the_weaker_one_the_same_condition(denoiser: Denoiser) -> None:
    weaker = Denoiser(denoiser.net, V(), 0.4, denoiser.condition)
    given = denoiser.condition.ask(["coat"] * 4)
    guidance = Autoguidance(2.0).bound(lambda nimg: (7, weaker))
    other, main = (d.given(given)(x(), ALPHA, SIGMA) for d in (weaker, denoiser))
    guided = guidance.of(denoiser, given)(x(), ALPHA, SIGMA)
    torch.testing.assert_close(guided, other + 2 * (main - other), rtol=1e-5, atol=1e-6)


def test_guidance_costs_a_second_evaluation() -> None:
    assert generation(ClassifierFree(2.0), None).nfe() == 14
    assert generation(ClassifierFree(1.0), None).nfe() == 7


def test_other_guidances_see_the_condition(denoiser: Denoiser) -> None:
    given = denoiser.condition.ask(["bag"] * 4)
    clipped = Clip(-0.1, 0.1).of(denoiser, given)(x(), ALPHA, SIGMA)
    assert torch.equal(clipped, denoiser.given(given)(x(), ALPHA, SIGMA).clamp(-0.1, 0.1))


def test_the_variance_of_a_conditional_denoiser_is_its_own() -> None:
    net = MLP(SHAPE, 16, 2, learn_variance=True, told={"vector": 12})
    denoiser = randomised(Denoiser(net, V(), 0.5, label())).requires_grad_(False)
    conditional = denoiser.given(denoiser.condition.ask(["bag"] * 4))
    assert isinstance(conditional, Conditional) and conditional.learns_variance
    x0, fraction = (
        ClassifierFree(2.0).of(denoiser, denoiser.condition.ask(["bag"] * 4)).with_variance(x(), ALPHA, SIGMA)
    )
    assert torch.equal(fraction, conditional.with_variance(x(), ALPHA, SIGMA)[1])
    assert not torch.equal(x0, conditional(x(), ALPHA, SIGMA))


# What is asked


def test_a_class_is_asked_for_by_name_in_any_case_or_by_number() -> None:
    given = label().ask(["t-shirt", "1", "COAT", ""])
    assert given.values.tolist()[:3] == [2, 1, 0]
    assert given.null.tolist() == [False, False, False, True]
    assert given.words == ["T-shirt", "bag", "coat", ""]


@pytest.mark.parametrize("word", ["caot", "3", "-1"])
def test_an_unknown_class_is_refused_with_the_nearest(word: str) -> None:
    with pytest.raises(DifflabError, match=f"label={word} is no class of this run") as refusal:
        label().ask([word])
    assert "coat, bag, T-shirt" in str(refusal.value)
    assert ("did you mean 'coat'?" in str(refusal.value)) == (word == "caot")


def test_labels_without_classes_and_pictures_without_labels_are_refused() -> None:
    with pytest.raises(DifflabError, match="the data set has no classes"):
        Label([], {"vector": 4}, 0.1)
    with pytest.raises(DifflabError, match="the pictures have no labels"):
        label().of_batch({"x0": x()})
    with pytest.raises(DifflabError, match=r"condition.dropout=1.5"):
        Label(CLASSES, {"vector": 4}, 1.5)


def test_sample_i_is_asked_for_row_i_in_turn() -> None:
    asked = InTurn(label().ask(["coat", "bag"]))
    assert asked(0, [0, 1, 2, 7]).words == ["coat", "bag", "coat", "bag"]
    assert asked.name == "coat, bag"


def test_drawn_conditions_are_those_of_the_pictures_and_of_seed_and_index_alone() -> None:
    labels = torch.tensor([0] * 30 + [1] * 60 + [2] * 10)
    asked = Drawn(label(), Images(torch.zeros(100, *SHAPE, dtype=torch.uint8), labels), "drawn")
    many = asked(0, range(2000))
    assert torch.equal(asked(0, [5, 900]).values, many.values[[5, 900]])
    assert not torch.equal(asked(1, range(2000)).values, many.values)
    shares = torch.bincount(many.values, minlength=3) / 2000
    torch.testing.assert_close(shares, torch.tensor([0.3, 0.6, 0.1]), rtol=0, atol=0.05)


def test_a_picture_does_not_depend_on_what_others_are_asked_for(denoiser: Denoiser) -> None:
    def made(words: list[str], indices: list[int]) -> Tensor:
        *_, step = generation(ClassifierFree(2.0), InTurn(denoiser.condition.ask(words))).steps(denoiser, 0, indices)
        return step.x

    torch.testing.assert_close(made(["coat", "bag"], [0, 1])[1:], made(["bag"], [1]), rtol=1e-4, atol=1e-5)


def test_the_adaptive_sampler_makes_each_picture_for_its_own_words(denoiser: Denoiser) -> None:
    def made(words: list[str], indices: list[int]) -> Tensor:
        asked = InTurn(denoiser.condition.ask(words))
        made = Generation(partial(adaptive, rtol=0.1, atol=0.1), Karras(4).nodes(Cosine()), SHAPE, {}).asking(asked)
        return torch.stack(list(made.states(denoiser, 0, indices)))

    both, coat, bag = made(["coat", "bag"], [0, 1]), made(["coat"], [0]), made(["bag"], [1])
    assert torch.equal(both, torch.cat([coat, bag], dim=1))
    assert not torch.equal(bag, made(["coat"], [1]))


def test_conditions_keep_their_kind() -> None:
    conditions: list[Condition] = [label(), NoCondition({})]
    for condition in conditions:
        given = condition.null(3)
        assert isinstance(given, Given) and len(given) == 3 and given.null.all()


# Other words for a picture


def test_other_words_move_a_picture_from_the_one_gaussian_to_the_other() -> None:
    """Of N(a, s^2) and N(b, s^2) the bridge up to sigma is x + (b - a) (1 - s / sqrt(s^2 + sigma^2))."""
    before, after = (torch.full(SHAPE, mean) for mean in (-0.2, 0.3))
    picture = torch.randint(60, 120, SHAPE, generator=generator(2), dtype=torch.uint8)
    plain = Generation(heun, Karras(60, 1e-3).nodes(Cosine()), SHAPE, {})

    def moved(strength: float) -> Tensor:
        edit = Reword("", strength)(plain, Inputs(picture, under=gaussian(before, 0.1)))
        return edit.generation.batch(gaussian(after, 0.1), 0, [0])[0].float() - picture

    for strength in (1.0, 0.5, 0.2):
        sigma = plain.nodes.sigma_hat[60 - round(60 * strength)]
        whole = 1 - 0.1 / (0.1**2 + sigma**2).sqrt()
        assert (moved(strength) - 0.5 * 127.5 * whole).abs().max() <= 1.5
