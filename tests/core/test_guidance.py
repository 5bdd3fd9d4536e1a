"""Guidance against exact answers: mixtures whose components carry classes, closed forms, another library."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import diffusers
import pytest
import torch
from diffusers.guiders.classifier_free_guidance import rescale_noise_cfg
from torch import Tensor, nn

from difflab.classifier_guidance import LEAST_ALPHA, ClassifierGuidance
from difflab.denoiser import Denoise, Denoiser
from difflab.errors import DifflabError
from difflab.generation import Generation
from difflab.grids import Karras, Nodes, UniformLogsnr
from difflab.guidance import Autoguidance, ClassifierFree, Guidance, NoGuidance
from difflab.oracles import Mixture, gaussian
from difflab.predictions import X0, Eps, Flow, Prediction, V
from difflab.rng import SampleNoise, generator
from difflab.samplers import ddim, heun, last, run
from difflab.schedules import VE, Cosine
from difflab.thresholding import Clip, DynamicThreshold

SHAPE = (1, 2, 2)
CLASSES = torch.tensor([0, 0, 1, 1, 1])  # of the components


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


WEIGHTS = torch.tensor([0.1, 0.3, 0.2, 0.25, 0.15]).double()
STDS = torch.tensor([0.2, 0.5, 0.3, 0.1, 0.4]).double()
EVERYTHING = Mixture(normal(5, *SHAPE), STDS, WEIGHTS)


def of_class(c: int) -> Mixture:
    mine = c == CLASSES
    return Mixture(EVERYTHING.means[mine], STDS[mine], WEIGHTS[mine] / WEIGHTS[mine].sum())


def log_p_of_class(c: int) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The exact log p(c | x): Bayes' rule over the components' densities of x."""

    def log_prob(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        alpha, sigma = alpha.reshape(-1, 1).to(x), sigma.reshape(-1, 1).to(x)
        var = alpha**2 * STDS.to(x) ** 2 + sigma**2
        residual = x.flatten(1)[:, None] - alpha[..., None] * EVERYTHING.means.flatten(1).to(x)
        joint = WEIGHTS.to(x).log() - residual.square().sum(-1) / (2 * var) - 2 * var.log()  # 4 pixels
        return joint[:, c == CLASSES].logsumexp(1) - joint.logsumexp(1)

    return log_prob


class Counted:
    """A denoiser that counts its evaluations."""

    def __init__(self, denoise: Denoise) -> None:
        self.denoise, self.calls = denoise, 0

    def __call__(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        self.calls += 1
        return self.denoise(x, alpha, sigma)


def level(logsnr: float) -> tuple[Tensor, Tensor]:
    """(alpha, sigma) on the variance-preserving path."""
    square = torch.tensor(logsnr, dtype=torch.float64).sigmoid()
    return square.sqrt(), (1 - square).sqrt()


LEVELS = [level(logsnr) for logsnr in (-8.0, -2.0, 0.0, 3.0, 8.0)]
AT_0 = torch.tensor(0.0).double(), torch.tensor(1.0).double()
X = normal(16, *SHAPE, seed=1)
UNCONDITIONAL, CONDITIONAL = EVERYTHING, of_class(1)


# Classifier guidance


@pytest.mark.parametrize("at", LEVELS, ids=lambda at: f"alpha={at[0]:.2g}")
@pytest.mark.parametrize("c", [0, 1])
def test_a_classifiers_gradient_makes_the_conditional_denoiser(c: int, at: tuple[Tensor, Tensor]) -> None:
    guided = ClassifierGuidance(log_p_of_class(c), 1.0)(UNCONDITIONAL)
    torch.testing.assert_close(guided(X, *at), of_class(c)(X, *at), rtol=1e-10, atol=1e-10)


def test_a_classifier_guides_rows_of_different_levels() -> None:
    alpha, sigma = (torch.stack(a).reshape(-1, 1, 1, 1) for a in zip(*LEVELS, strict=True))
    guided = ClassifierGuidance(log_p_of_class(1), 1.0)(UNCONDITIONAL)
    x = X[: len(LEVELS)]
    torch.testing.assert_close(guided(x, alpha, sigma), CONDITIONAL(x, alpha, sigma), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("alpha", [0.0, 6e-17, 1e-6])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_classifier_guides_pure_noise_to_the_mean_of_the_class(alpha: float, dtype: torch.dtype) -> None:
    """The limit at alpha = 0; read at LEAST_ALPHA, it is off by the order of it, where no guidance is off by 0.45."""
    guided = ClassifierGuidance(log_p_of_class(1), 1.0)(UNCONDITIONAL)
    x, level = X.to(dtype), (torch.tensor(alpha).double(), torch.tensor(1.0).double())
    torch.testing.assert_close(guided(x, *level), CONDITIONAL(x, *level), rtol=0, atol=3 * LEAST_ALPHA)


def test_a_classifier_guides_inside_inference_mode() -> None:
    """Sampling runs in it, and a network's parameters need gradients there or not."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, dtype=torch.float64))

    def log_prob(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return net(x * alpha).log_softmax(1)[:, 0]

    guidance = ClassifierGuidance(log_prob, 2.0)
    outside = guidance(UNCONDITIONAL)(X, *LEVELS[2])
    with torch.inference_mode():
        x, alpha, sigma = X * 1.0, LEVELS[2][0] * 1.0, LEVELS[2][1] * 1.0  # inference tensors, as in a sampler
        inside = guidance(UNCONDITIONAL)(x, alpha, sigma)
    assert torch.equal(inside, outside)
    assert not inside.requires_grad
    assert all(p.grad is None for p in net.parameters())


def test_a_batch_of_pictures_is_guided_by_a_classifier() -> None:
    made = Generation(
        heun, Karras(6).nodes(Cosine()), SHAPE, {}, ClassifierGuidance(log_p_of_class(1), 1.0)
    ).batches(UNCONDITIONAL, 0, range(8), 4)  # fmt: skip
    wanted = Generation(heun, Karras(6).nodes(Cosine()), SHAPE, {}).batches(CONDITIONAL, 0, range(8), 4)
    # In float32, and rounded to 256 values: one of them apart is the rounding.
    assert (torch.cat(list(made)).int() - torch.cat(list(wanted)).int()).abs().max() <= 1


# Classifier-free guidance


@pytest.mark.parametrize("scale", [1, 1.0])
def test_scale_1_is_the_main_denoiser_to_the_bit_and_evaluates_no_other(scale: float) -> None:
    other = Counted(UNCONDITIONAL)
    for at in [*LEVELS, AT_0]:
        assert torch.equal(ClassifierFree(scale, other)(CONDITIONAL)(X, *at), CONDITIONAL(X, *at))
    assert other.calls == 0


def test_scale_0_is_the_other_denoiser() -> None:
    for at in LEVELS:
        assert torch.equal(ClassifierFree(0.0, UNCONDITIONAL)(CONDITIONAL)(X, *at), UNCONDITIONAL(X, *at))


@pytest.mark.parametrize("at", LEVELS, ids=lambda at: f"alpha={at[0]:.2g}")
@pytest.mark.parametrize("prediction", [Eps(), X0(), V(), V(0.5), Flow()], ids=str)
def test_guidance_commutes_with_the_prediction(prediction: Prediction, at: tuple[Tensor, Tensor]) -> None:
    """u + w (c - u), taken on what a network predicts."""
    u, c = (prediction.target(x0, noise_of(x0, at), *at) for x0 in (UNCONDITIONAL(X, *at), CONDITIONAL(X, *at)))
    wanted = prediction.x0(X, u + 3.0 * (c - u), *at)
    guided = ClassifierFree(3.0, UNCONDITIONAL)(CONDITIONAL)(X, *at)
    # eps divides by alpha: what rounding it leaves grows by sigma/alpha, 55 at most here.
    torch.testing.assert_close(guided, wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("at", LEVELS, ids=lambda at: f"alpha={at[0]:.2g}")
def test_guidance_commutes_with_the_score(at: tuple[Tensor, Tensor]) -> None:
    alpha, sigma = at
    u, c = ((alpha * x0 - X) / sigma**2 for x0 in (UNCONDITIONAL(X, *at), CONDITIONAL(X, *at)))
    guided = ClassifierFree(3.0, UNCONDITIONAL)(CONDITIONAL)(X, *at)
    torch.testing.assert_close(guided, (X + sigma**2 * (u + 3.0 * (c - u))) / alpha, rtol=1e-11, atol=1e-11)


def noise_of(x0: Tensor, at: tuple[Tensor, Tensor]) -> Tensor:
    return (X - at[0] * x0) / at[1]


def test_a_classifiers_scale_means_what_the_classifier_free_scale_means() -> None:
    one = ClassifierGuidance(log_p_of_class(1), 3.0)(UNCONDITIONAL)
    other = ClassifierFree(3.0, UNCONDITIONAL)(CONDITIONAL)
    for at in LEVELS:
        torch.testing.assert_close(one(X, *at), other(X, *at), rtol=1e-10, atol=1e-10)


def test_outside_the_interval_nothing_is_touched_or_evaluated() -> None:
    """The lower end belongs to the outside, the upper one to the inside (2404.07724)."""
    other, one = Counted(UNCONDITIONAL), torch.tensor(1.0).double()
    guided = ClassifierFree(3.0, other, (0.5, 2.0))(CONDITIONAL)
    for sigma in (0.1, 0.5, 2.1, 80.0):
        at = one, one * sigma
        assert torch.equal(guided(X, *at), CONDITIONAL(X, *at))
    assert torch.equal(guided(X, *AT_0), CONDITIONAL(X, *AT_0))
    assert other.calls == 0
    for sigma in (0.51, 2.0):
        at = one, one * sigma
        assert torch.equal(guided(X, *at), ClassifierFree(3.0, UNCONDITIONAL)(CONDITIONAL)(X, *at))
    assert other.calls == 2


def test_the_interval_is_read_row_by_row() -> None:
    sigma = torch.tensor([0.1, 1.0, 1.5, 80.0]).double().reshape(-1, 1, 1, 1)
    at, x = (torch.ones_like(sigma), sigma), X[:4]
    part = ClassifierFree(3.0, UNCONDITIONAL, (0.5, 2.0))(CONDITIONAL)(x, *at)
    whole = ClassifierFree(3.0, UNCONDITIONAL)(CONDITIONAL)(x, *at)
    assert torch.equal(part[[0, 3]], CONDITIONAL(x, *at)[[0, 3]])
    assert torch.equal(part[[1, 2]], whole[[1, 2]])


def test_rescaled_pictures_deviate_as_without_guidance() -> None:
    for at in LEVELS:
        plain, full = CONDITIONAL(X, *at), ClassifierFree(5.0, UNCONDITIONAL, rescale=1.0)(CONDITIONAL)(X, *at)
        torch.testing.assert_close(full.flatten(1).std(1), plain.flatten(1).std(1), rtol=1e-12, atol=0)


@pytest.mark.parametrize("phi", [0.3, 0.7, 1.0])
def test_rescale_is_diffusers_on_x0(phi: float) -> None:
    for at in LEVELS:
        plain, guided = CONDITIONAL(X, *at), ClassifierFree(5.0, UNCONDITIONAL)(CONDITIONAL)(X, *at)
        ours = ClassifierFree(5.0, UNCONDITIONAL, rescale=phi)(CONDITIONAL)(X, *at)
        torch.testing.assert_close(ours, rescale_noise_cfg(guided, plain, phi), rtol=1e-12, atol=1e-14)


def test_an_even_picture_has_nothing_to_rescale() -> None:
    grey, white = (gaussian(torch.full(SHAPE, m, dtype=torch.float64), 0.0) for m in (0.2, 0.6))
    guided = ClassifierFree(3.0, grey, rescale=1.0)(white)(X, *LEVELS[2])
    torch.testing.assert_close(guided, torch.full_like(X, 0.2 + 3 * 0.4), rtol=1e-12, atol=0)


# Autoguidance


def test_autoguidance_is_classifier_free_guidance_with_a_snapshot() -> None:
    asked = []

    def snapshots(nimg: int | None) -> tuple[int, Denoise]:
        asked.append(nimg)
        return 640, UNCONDITIONAL

    guidance = Autoguidance(2.5, interval=(0.1, 20.0), rescale=0.5).bound(snapshots)
    assert asked == [None]
    assert repr(guidance) == "Autoguidance(scale=2.5, interval=(0.1, 20.0), rescale=0.5, snapshot=640)"
    wanted = ClassifierFree(2.5, UNCONDITIONAL, (0.1, 20.0), 0.5)(CONDITIONAL)
    for at in LEVELS:
        assert torch.equal(guidance(CONDITIONAL)(X, *at), wanted(X, *at))


def test_autoguidance_without_a_snapshot_says_so() -> None:
    with pytest.raises(DifflabError, match="no weaker denoiser"):
        Autoguidance(2.0)(CONDITIONAL)(X, *LEVELS[0])


@pytest.mark.parametrize("scale", [0.0, 1.0, 1.5, 2.0, 3.0])
def test_autoguidance_of_blurred_data_sharpens_by_the_closed_form(scale: float) -> None:
    """Gaussians of deviation s (main) and s' (weak) in EDM's coordinates: of the guided flow,
    d log|x - m| / d sigma = sigma (w/(s^2 + sigma^2) + (1 - w)/(s'^2 + sigma^2)), so it ends with the
    deviation s^w s'^(1 - w), and 1 up to (s'/sigma_max)^2 of the start's."""
    s, weak_s, mean = 0.4, 0.8, torch.full(SHAPE, 0.3, dtype=torch.float64)
    guidance = Autoguidance(scale).bound(lambda nimg: (0, gaussian(mean, weak_s)))
    nodes = UniformLogsnr(401, -2 * math.log(500), -2 * math.log(1e-3)).nodes(VE(sigma_max=500.0))
    x = nodes.sigma[0] * X
    made = last(heun(guidance(gaussian(mean, s)), x, nodes, silence))
    # Heun's second order leaves 4e-4 in 400 steps (1.5e-3 in 200); the next scale is 0.2 away.
    torch.testing.assert_close(made - mean, s**scale * weak_s ** (1 - scale) * X, rtol=0, atol=1e-3)


def silence(like: Tensor) -> Tensor:
    raise AssertionError("a deterministic sampler drew noise")


def test_autoguidance_of_a_blurred_mixture_brings_samples_nearer_to_the_data() -> None:
    """Data are five pictures; the model blurs them by 0.25, its younger self by 0.5."""
    pictures, even = normal(5, 1, 4, 4), torch.full((5,), 0.2).double()
    model, younger = (Mixture(pictures, torch.full((5,), blur).double(), even) for blur in (0.25, 0.5))
    nodes, x = Karras(40).nodes(VE()), 80 * normal(256, 1, 4, 4, seed=3)
    distances, chosen = [], []
    for scale in (1.0, 1.5, 2.0, 3.0):
        made = last(heun(ClassifierFree(scale, younger)(model), x, nodes, silence))
        distance = (made[:, None] - pictures).square().mean((2, 3, 4)).sqrt()
        distances.append(distance.amin(1).mean().item())
        chosen.append(distance.argmin(1).unique().numel())
    assert distances[0] == pytest.approx(0.25, rel=0.05)  # the model's own blur
    assert all(b < 0.8 * a for a, b in pairwise(distances))
    assert chosen == [5, 5, 5, 5]  # and no picture is lost


# Thresholds


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.995])
def test_dynamic_threshold_is_diffusers(quantile: float) -> None:
    theirs = diffusers.DDPMScheduler(
        thresholding=True, dynamic_thresholding_ratio=quantile, sample_max_value=1e9, clip_sample=False
    )
    x0 = normal(6, 3, 8, 8) * torch.tensor([0.1, 0.5, 0.9, 1.0, 2.0, 5.0]).double().reshape(-1, 1, 1, 1)
    ours = DynamicThreshold(quantile)(lambda x, alpha, sigma: x)(x0, *LEVELS[2])
    torch.testing.assert_close(ours, theirs._threshold_sample(x0), rtol=1e-12, atol=0)
    assert ours.abs().max() <= 1


def test_a_guess_in_range_is_left_alone() -> None:
    x0 = normal(4, *SHAPE).tanh()
    for guidance in (DynamicThreshold(0.9), Clip(), NoGuidance()):
        assert torch.equal(guidance(lambda x, alpha, sigma: x)(x0, *LEVELS[2]), x0)


def test_clip_is_diffusers() -> None:
    """One ancestral step of theirs with clip_sample."""
    theirs = diffusers.DDPMScheduler(clip_sample=True, clip_sample_range=0.5, prediction_type="sample")
    x0 = normal(4, *SHAPE)
    step = theirs.step(x0, 500, X[:4], generator=generator(0))
    assert torch.equal(Clip(-0.5, 0.5)(lambda x, alpha, sigma: x0)(X[:4], *LEVELS[2]), step.pred_original_sample)


# All of them

ALL: dict[str, Guidance] = {
    "none": NoGuidance(),
    "classifier": ClassifierGuidance(log_p_of_class(0), 2.0),
    "classifier_free": ClassifierFree(3.0, of_class(0), (0.1, 10.0), 0.5),
    "autoguidance": Autoguidance(2.0).bound(lambda nimg: (0, of_class(0))),
    "clip": Clip(-0.3, 0.4),
    "dynamic_threshold": DynamicThreshold(0.7),
}


@pytest.mark.parametrize("name", ALL)
def test_picture_does_not_depend_on_its_batch(name: str) -> None:
    nodes, guided = Karras(8).nodes(Cosine()), ALL[name](UNCONDITIONAL)

    def pictures(*indices: int) -> Tensor:
        like = torch.zeros(len(indices), *SHAPE, dtype=torch.float64)
        return last(run(heun, guided, nodes, SampleNoise(0, indices), like))

    many = pictures(*range(9))
    torch.testing.assert_close(pictures(5)[0], many[5], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(pictures(8, 5, 2)[1], many[5], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_every_guidance_is_finite_from_pure_noise_to_a_picture(name: str) -> None:
    """From alpha = 0 exactly, in float32."""
    alpha, sigma = torch.tensor([0.0, 0.1, 0.7, 1.0]).double(), torch.tensor([1.0, 0.99, 0.7, 0.0]).double()
    x = last(run(ddim, ALL[name](UNCONDITIONAL), Nodes(alpha, sigma), SampleNoise(0, [0]), torch.zeros(1, *SHAPE)))
    assert x.dtype == torch.float32
    assert torch.isfinite(x).all()


@pytest.mark.parametrize("name", ALL)
def test_a_guided_denoiser_has_a_variance_where_its_main_one_has(name: str) -> None:
    main = Denoiser(WithHead(True), V(), 0.5)
    with torch.no_grad():
        x0, fraction = main.with_variance(X, *LEVELS[2])
        guided: Any = ALL[name](main)
        guided_x0, guided_fraction = guided.with_variance(X, *LEVELS[2])
        wanted = ALL[name](lambda x, alpha, sigma: x0)(X, *LEVELS[2])
    assert torch.equal(guided_fraction, fraction)
    assert torch.equal(guided_x0, wanted)
    assert guided.learns_variance
    assert not ALL[name](Denoiser(WithHead(False), V(), 0.5)).learns_variance
    assert not ALL[name](UNCONDITIONAL).learns_variance
    assert not hasattr(ALL[name](UNCONDITIONAL), "with_variance")
    twice: Any = Clip(-9.0, 9.0)(guided)
    assert torch.equal(twice.with_variance(X, *LEVELS[2])[1], fraction)


class WithHead(nn.Module):
    """A network that sees no level, with or without a variance head."""

    def __init__(self, learn_variance: bool) -> None:
        super().__init__()
        self.learn_variance = learn_variance
        self.net = nn.Conv2d(1, 1 + learn_variance, 1, dtype=torch.float64)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return self.net(x)


def test_the_outer_guidance_comes_last() -> None:
    at, free, clip = LEVELS[2], ClassifierFree(9.0, UNCONDITIONAL), Clip(-0.5, 0.5)
    outer = clip(free(CONDITIONAL))(X, *at)
    assert torch.equal(outer, free(CONDITIONAL)(X, *at).clamp(-0.5, 0.5))
    inner = free(clip(CONDITIONAL))(X, *at)
    u, c = UNCONDITIONAL(X, *at), CONDITIONAL(X, *at).clamp(-0.5, 0.5)
    assert torch.equal(inner, u + 9.0 * (c - u))
    assert inner.abs().max() > 0.5


def test_nfe_counts_the_other_denoiser_where_it_is_evaluated() -> None:
    nodes = Nodes(torch.ones(5).double(), torch.tensor([80.0, 10.0, 1.0, 0.1, 0.0]).double())

    def nfe(guidance: Guidance) -> int:
        return Generation(ddim, nodes, SHAPE, {}, guidance).nfe()

    def snapshots(nimg: int | None) -> tuple[int, Denoise]:
        return 0, a_network

    assert nfe(NoGuidance()) == nfe(Clip()) == nfe(Autoguidance(1.0).bound(snapshots)) == 4
    assert nfe(Autoguidance(2.0).bound(snapshots)) == 8
    assert nfe(Autoguidance(2.0, interval=(0.5, 20.0)).bound(snapshots)) == 6


def a_network(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    raise AssertionError("counting evaluated a network")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ClassifierFree(2.0, EVERYTHING, (2.0, 1.0)), "guidance.interval=\\[2.0, 1.0\\]"),
        (lambda: ClassifierFree(2.0, EVERYTHING, (1.0,)), "guidance.interval=\\[1.0\\]"),
        (lambda: ClassifierFree(2.0, EVERYTHING, rescale=1.5), "guidance.rescale=1.5"),
        (lambda: Clip(1.0, -1.0), "guidance.low=1.0 is not below"),
        (lambda: DynamicThreshold(99.5), "guidance.quantile=99.5"),
    ],
)
def test_wrong_numbers_are_refused_at_construction(make: Callable[[], Guidance], words: str) -> None:
    with pytest.raises(DifflabError, match=words):
        make()
