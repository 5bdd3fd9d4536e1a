"""The steps that a number of evaluations pays for: as many as fit, for every sampler on every grid."""

import math
from collections.abc import Iterator
from functools import cache, partial

import jaxtyping
import pytest
from omegaconf import DictConfig, OmegaConf

from difflab import assemble
from difflab.config.compose import compose
from difflab.errors import DifflabError
from difflab.files import conf_dir
from difflab.nfe import most_steps

SAMPLERS = sorted(p.stem for p in (conf_dir() / "sampler").glob("*.yaml") if p.stem != "adaptive")
GRIDS = sorted(p.stem for p in (conf_dir() / "grid").glob("*.yaml"))
PAIRS = {
    *((sampler, "karras") for sampler in SAMPLERS),
    *(("heun", grid) for grid in GRIDS),
    *(("unipc", grid) for grid in GRIDS),
}


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    """Shapes are checked by all other tests."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@cache
def base() -> DictConfig:
    return compose("train", ["experiment=smoke"])


def configuration(sampler: str, grid: str, guidance: str = "none") -> DictConfig:
    """As composed with these options, whose files refer to nothing else."""
    cfg = base().copy()
    for group, option in (("sampler", sampler), ("grid", grid), ("guidance", guidance)):
        OmegaConf.update(cfg, group, OmegaConf.load(conf_dir() / group / f"{option}.yaml"), merge=False)
    cfg.net.learn_variance = sampler == "ddpm_learned"
    return cfg


def cost(cfg: DictConfig, steps: int) -> float:
    """Infinite where the grid has not so many steps."""
    try:
        return assemble.evaluations(cfg, steps) or math.nan
    except DifflabError:
        return math.inf


@pytest.mark.parametrize(("sampler", "grid"), sorted(PAIRS))
def test_as_many_steps_as_fit_for_every_sampler_and_grid(sampler: str, grid: str) -> None:
    cfg, nfe = configuration(sampler, grid), 14
    steps = most_steps(partial(assemble.evaluations, cfg), nfe, "")
    assert cost(cfg, steps) <= nfe < cost(cfg, steps + 1)


@pytest.mark.parametrize(
    ("sampler", "grid", "guidance", "nfe", "steps"),
    [
        ("ddim", "karras", "none", 20, 20),
        ("heun", "karras", "none", 20, 10),  # 19: the last step needs no second evaluation
        ("heun", "karras", "none", 19, 10),
        ("heun", "karras", "none", 18, 9),
        ("heun", "uniform_t", "none", 20, 11),  # nor the first, out of pure noise
        ("unipc", "karras", "autoguidance", 20, 10),
        ("heun", "karras", "autoguidance", 20, 5),
        ("ddim", "align_your_steps", "none", 20, 20),  # a list is resampled
        ("ddim", "time_travel", "none", 7, 3),
        ("heun", "karras", "none", 1, 1),
    ],
)  # fmt: skip
def test_steps_by_hand(sampler: str, grid: str, guidance: str, nfe: int, steps: int) -> None:
    assert most_steps(partial(assemble.evaluations, configuration(sampler, grid, guidance)), nfe, "") == steps


@pytest.mark.parametrize(
    ("sampler", "grid", "guidance", "nfe", "words"),
    [
        ("ddim", "karras", "autoguidance", 1, ["nfe=1 is too small", "me takes 2 in its fewest steps, 1", "raise nfe"]),
        ("ddim", "time_travel", "none", 2, ["nfe=2", "grid.jump_length=2", "take more steps"]),
        ("heun", "restart", "none", 10, ["nfe=10 is too small", "takes 11 in its fewest steps, 2"]),
        ("adaptive", "karras", "none", 30, ["nfe=30", "me takes as many evaluations as", "sampler.rtol"]),
    ],
)  # fmt: skip
def test_what_cannot_be_paid_for_is_refused(sampler: str, grid: str, guidance: str, nfe: int, words: list[str]) -> None:
    with pytest.raises(DifflabError) as refusal:
        most_steps(partial(assemble.evaluations, configuration(sampler, grid, guidance)), nfe, "me")
    for word in words:
        assert word in str(refusal.value)


def test_a_table_gives_all_it_has() -> None:
    cfg = configuration("ddim", "stride")
    cfg.grid.levels = 12
    assert most_steps(partial(assemble.evaluations, cfg), 20, "") == 12


def test_the_other_configuration_keeps_its_steps() -> None:
    asked = configuration("heun", "karras")
    OmegaConf.set_struct(asked, False)
    asked.nfe = 7
    made = assemble.with_sampler(base().copy(), asked)
    assert (made.grid.steps, asked.grid.steps) == (4, 18)
    assert assemble.generation(made).protocol["nfe"] == 7
