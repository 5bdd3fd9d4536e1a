"""Every choice composes with every other, or is refused at construction because it can't work.

The options of a group are composed and built once, and their objects crossed: a group's file refers to the data and to
nothing else (a test below), so what becomes of an option can't depend on the options of the other groups. Training
depends on schedule, prediction, weighting, times, objective and coupling; sampling on schedule, prediction, sampler,
grid and guidance. Couplings and guidances take turns; a network, which sees neither,
meets each schedule and each prediction.
"""

import copy
import re
from collections.abc import Iterator
from functools import cache
from itertools import cycle, product, zip_longest
from typing import Any

import jaxtyping
import pytest
import torch

from difflab import assemble
from difflab.config.compose import compose
from difflab.config.instantiate import build
from difflab.denoiser import Denoiser
from difflab.errors import DifflabError
from difflab.files import conf_dir
from difflab.grids import Nodes
from difflab.guidance import NoGuidance
from difflab.nets.mlp import MLP
from difflab.objective import Objective
from difflab.predictions import Prediction, check_recoverable
from difflab.rng import SampleNoise, generator
from difflab.samplers import run
from difflab.schedules import Schedule

TRAINING = ("schedule", "prediction", "weighting", "times", "objective", "coupling")
SAMPLING = ("schedule", "prediction", "sampler", "grid", "guidance")
ALGEBRA = tuple(dict.fromkeys((*TRAINING, *SAMPLING)))
SHAPE = (1, 8, 8)
X0 = torch.rand(4, *SHAPE, generator=generator(0)) * 2 - 1

# Networks as they are shipped, but narrow.
SMALL = {
    "unet": {"width": 16, "multipliers": [1, 2], "blocks": 1, "attention": [4], "patch": 1},
    "mlp": {"width": 16},
    "dit": {"width": 16, "depth": 1, "patch": 2},
}


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    """Shapes are checked by all other tests, and a second thread is no help to networks as small as these."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
    torch.set_num_threads(threads)


def options(group: str) -> list[str]:
    return sorted(p.stem for p in (conf_dir() / group).glob("*.yaml"))


@cache
def built() -> dict[str, dict[str, Any]]:
    """Every option of every group, as `difflab train` composes and builds it, with grids of 3 steps."""
    made: dict[str, dict[str, Any]] = {group: {} for group in ALGEBRA}
    for row in zip_longest(*(options(group) for group in ALGEBRA)):
        chosen = {group: option for group, option in zip(ALGEBRA, row, strict=True) if option is not None}
        overrides = [f"{group}={option}" for group, option in chosen.items()]
        cfg = compose("train", [f"data.shape={str(list(SHAPE)).replace(' ', '')}", "grid.steps=3", *overrides])
        if chosen.get("sampler") == "adaptive":
            cfg.sampler.rtol = cfg.sampler.atol = 0.1  # in fewer steps
        for group, option in chosen.items():
            made[group][option] = build(cfg[group])
    return made


def network(learn_variance: bool) -> MLP:
    """Small, and away from its start at zero."""
    torch.manual_seed(0)
    net = MLP(SHAPE, 16, 1, learn_variance)
    torch.nn.init.normal_(net.out.weight, std=0.02)
    return net


def different(made: dict[str, Any]) -> list[Any]:
    """Options without those that are another by a second name, such as Euler."""
    return list({(m.func, *m.keywords.items()): m for m in made.values()}.values())


def aims() -> list[tuple[str, str, str]]:
    """Objective, weighting and times: all, but hybrid, whose further term has no weight, with one weighting each."""
    simple = product(["simple"], options("weighting"), options("times"))
    return [*simple, *(("hybrid", w, t) for w, t in zip(cycle(options("weighting")), options("times"), strict=False))]


def loses_x0(prediction: str, alpha: float) -> bool:
    """The one honest incompatibility: the noise alone says nothing of a picture of which x holds nothing."""
    return prediction == "eps" and alpha < 1e-6


def trains(denoiser: Denoiser, objective: Objective) -> None:
    """One step, with finite loss and gradients, that changes the weights."""
    assemble.check(denoiser, objective)
    parameters = [*denoiser.parameters(), *objective.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=1e-3)
    optimizer.zero_grad()
    loss = objective(denoiser, X0, generator(0))
    loss.per_sample.mean().backward()
    optimizer.step()
    objective.times.observe(loss.t, loss.unscaled, objective.schedule)
    assert torch.isfinite(loss.per_sample).all()
    assert all(torch.isfinite(p.grad).all() for p in parameters if p.grad is not None)
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in denoiser.parameters())


def samples(
    denoiser: Denoiser, schedule: Schedule, prediction: Prediction, nodes: Nodes, sampler: Any, guide: Any
) -> None:
    """All steps of the grid, from noise to a finite picture."""
    check_recoverable(prediction, schedule, nodes)
    noise, like = SampleNoise(0, [0]), torch.zeros(1, *SHAPE)
    with torch.inference_mode():
        steps = list(run(sampler, guide.of(denoiser, None), nodes, noise, like))
    assert len(steps) == len(nodes)
    assert torch.isfinite(steps[-1].x).all()


@pytest.mark.parametrize("group", [*ALGEBRA, "net"])
def test_a_group_refers_to_the_data_and_its_latents_alone(group: str) -> None:
    for path in (conf_dir() / group).glob("*.yaml"):
        for reference in re.findall(r"\$\{([\w.]+)", path.read_text()):
            its_own = (".", "data.", "latent.", *(["condition.told"] if group == "net" else []))
            assert reference.startswith(its_own), f"{path.name}: {reference}"


@pytest.mark.parametrize("prediction", options("prediction"))
@pytest.mark.parametrize("schedule", options("schedule"))
def test_training_choices_compose(schedule: str, prediction: str) -> None:
    made = built()
    path, refused, coupling = made["schedule"][schedule], [], cycle(made["coupling"].values())
    for objective, weighting, times in aims():
        fresh = copy.deepcopy((made["weighting"][weighting], made["times"][times]))  # some are trained along
        aim = made["objective"][objective](path, *fresh, next(coupling))
        denoiser = Denoiser(network(aim.needs_variance), made["prediction"][prediction], 0.5)
        try:
            trains(denoiser, aim)
        except DifflabError as refusal:
            assert path.name in str(refusal)
            assert "use prediction=v" in str(refusal)
            refused.append((objective, weighting, times))
    if refused:
        end = path.alpha_sigma(torch.tensor(path.t_max, dtype=torch.float64))[0].item()
        assert loses_x0(prediction, end), refused


@pytest.mark.parametrize("prediction", options("prediction"))
@pytest.mark.parametrize("schedule", options("schedule"))
def test_sampling_choices_compose(schedule: str, prediction: str) -> None:
    """A sampler sees a denoiser, not its prediction: the predictions that go with every schedule share the samplers."""
    made, always = built(), [name for name in options("prediction") if name != "eps"]
    share = always.index(prediction) if prediction in always else 0
    path, predicted = made["schedule"][schedule], made["prediction"][prediction]
    denoiser = Denoiser(network(learn_variance=True), predicted, 0.5)
    weaker = Denoiser(network(learn_variance=True), predicted, 0.4)
    for i, grid in enumerate(made["grid"].values()):
        nodes, guide = grid.nodes(path), cycle(made["guidance"].values())
        for sampler in different(made["sampler"])[(share + i) % len(always) :: len(always)]:
            guided = next(guide).bound(lambda nimg: (0, weaker))
            if loses_x0(prediction, nodes.alpha[0].item()):
                with pytest.raises(DifflabError, match=f"'{predicted.name}' cannot recover x0 at .*use prediction=v"):
                    samples(denoiser, path, predicted, nodes, sampler, guided)
            else:
                samples(denoiser, path, predicted, nodes, sampler, guided)


@pytest.mark.parametrize("guidance", options("guidance"))
@pytest.mark.parametrize("sampler", options("sampler"))
def test_every_guidance_goes_with_every_sampler(sampler: str, guidance: str) -> None:
    made, weaker = built(), Denoiser(network(learn_variance=True), built()["prediction"]["v"], 0.4)
    path, predicted = made["schedule"]["cosine"], made["prediction"]["v"]
    guide = made["guidance"][guidance].bound(lambda nimg: (0, weaker))
    nodes = made["grid"]["karras"].nodes(path)
    samples(Denoiser(network(True), predicted, 0.5), path, predicted, nodes, made["sampler"][sampler], guide)


@pytest.mark.parametrize("learn_variance", [False, True], ids=["mean", "variance"])
@pytest.mark.parametrize("net", options("net"))
def test_every_network_meets_every_schedule_and_every_prediction(net: str, learn_variance: bool) -> None:
    made, kind = built(), net.partition("_")[0]
    cfg = compose("train", [f"data.shape=[{','.join(map(str, SHAPE))}]", f"net={net}"])
    small = {k: v for k, v in SMALL[kind].items() if k in cfg.net}
    built_net = build({**cfg.net, **small, "shape": list(SHAPE), "learn_variance": learn_variance})
    objective = made["objective"]["hybrid" if learn_variance else "simple"]
    weighting, times = made["weighting"]["snr_plus"], made["times"]["lognormal"]
    # A network sees neither schedule nor sampler, only a level: each schedule and each prediction is met.
    for path, predicted in zip(made["schedule"].values(), cycle(made["prediction"].values()), strict=False):
        denoiser = Denoiser(built_net, predicted, 0.5)
        trains(denoiser, objective(path, weighting, times))
        nodes = made["grid"]["karras"].nodes(path)
        if not loses_x0(predicted.name, nodes.alpha[0].item()):
            samples(denoiser, path, predicted, nodes, made["sampler"]["dpmpp_2m"], NoGuidance())


def test_learned_variance_and_its_objective_need_each_other() -> None:
    made = built()
    parts = made["schedule"]["cosine"], made["weighting"]["snr_plus"], made["times"]["uniform"]
    for objective, learns in (("hybrid", False), ("simple", True)):
        denoiser = Denoiser(network(learns), made["prediction"]["v"], 0.5)
        with pytest.raises(DifflabError, match=r"objective=hybrid with net\.learn_variance=true"):
            assemble.check(denoiser, made["objective"][objective](*parts))
