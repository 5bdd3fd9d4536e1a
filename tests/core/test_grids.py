"""Grids start, end and pass where they say, on every schedule."""

import math
from functools import cache
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.schedulers import AysSchedules
from omegaconf import OmegaConf
from torch import Tensor

from difflab.config.compose import compose
from difflab.config.instantiate import build
from difflab.config.validate import validate
from difflab.errors import DifflabError
from difflab.files import conf_dir
from difflab.grids import Explicit, Grid, Karras, Nodes, Stride, UniformLogsnr, UniformT
from difflab.oracles import gaussian
from difflab.rng import generator
from difflab.samplers import ddim, last
from difflab.schedules import VE, Cosine, LinearVP, Rectified, Schedule
from difflab.tables import Tabulated, linear_betas

SCHEDULES = [Cosine(), LinearVP(), Rectified(), VE()]
TABLE = Tabulated(linear_betas(1e-4, 0.02, 1000))
AYS = AysSchedules["StableDiffusionSigmas"]


def options(group: str) -> list[str]:
    return sorted(p.stem for p in (conf_dir() / group).glob("*.yaml"))


@cache
def built(name: str, *overrides: str) -> Grid:
    grid: Grid = build(compose("train", [f"grid={name}", *overrides]).grid)
    return grid


def level(schedule: Schedule, t: float) -> Tensor:
    """sigma/alpha."""
    alpha, sigma = schedule.alpha_sigma(torch.tensor(t, dtype=torch.float64))
    return sigma / alpha


@pytest.mark.parametrize("schedule", options("schedule"))
@pytest.mark.parametrize("grid", options("grid"))
def test_every_grid_runs_on_every_schedule_from_its_t_max_to_no_noise(grid: str, schedule: str) -> None:
    path = build(OmegaConf.load(conf_dir() / "schedule" / f"{schedule}.yaml"))
    nodes = built(grid, "grid.steps=7").nodes(path)
    assert len(nodes) >= 7
    assert nodes.alpha.isfinite().all()
    assert nodes.sigma.isfinite().all()
    assert (nodes.alpha[-1], nodes.sigma[-1]) == (1, 0)
    # A level that comes back through its logarithm may be off by its last digits.
    assert (nodes.sigma_hat <= level(path, path.t_max) * (1 + 1e-12)).all()


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
def test_karras_grid_visits_karras_levels(schedule: Schedule) -> None:
    nodes = Karras(18).nodes(schedule)
    ramp = (80 ** (1 / 7) + torch.arange(18).double() / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    torch.testing.assert_close(nodes.sigma_hat[:-1], ramp, rtol=1e-6, atol=0)
    assert len(nodes) == 18
    assert (nodes.alpha[-1], nodes.sigma[-1]) == (1, 0)


def test_uniform_grids() -> None:
    nodes = UniformT(4).nodes(Rectified())
    assert nodes.sigma.tolist() == [1, 0.75, 0.5, 0.25, 0]
    nodes = UniformLogsnr(5, -8.0, 8.0).nodes(Cosine())
    logsnr = 2 * (nodes.alpha / nodes.sigma).log()[:-1]
    assert logsnr.tolist() == pytest.approx([-8, -4, 0, 4, 8])


@pytest.mark.parametrize(
    "grid", [Karras(9), UniformT(9), UniformLogsnr(9), Stride(9), Explicit(9, AYS[:-1])], ids=lambda g: type(g).__name__
)
def test_a_path_cut_short_starts_where_its_training_ends(grid: Grid) -> None:
    schedule = Cosine(t_max=0.8)  # sigma_hat = 3.08, which every grid would pass
    nodes = grid.nodes(schedule)
    assert len(nodes) == 9
    expected = level(schedule, (8 * (800 // 9) + 1) / 1000 if isinstance(grid, Stride) else 0.8)
    torch.testing.assert_close(nodes.sigma_hat[0], expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("grid", [Karras(1), UniformT(1), UniformLogsnr(1)], ids=lambda g: type(g).__name__)
def test_one_step_is_a_grid(grid: Grid) -> None:
    assert len(grid.nodes(Cosine())) == 1


def test_no_step_is_refused() -> None:
    with pytest.raises(DifflabError, match=r"grid\.steps=0"):
        Karras(0)


def test_ends_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(DifflabError, match=r"Karras\(steps=18, sigma_min=100\.0.*do not fall on schedule 'cosine'"):
        Karras(18, sigma_min=100.0).nodes(Cosine())


# 7, 30, 48 and 999 do not divide 1000; 48 has ties in its rounding.
@pytest.mark.parametrize("steps", [1, 4, 7, 30, 48, 50, 999, 1000])
@pytest.mark.parametrize(("spacing", "offset"), [("leading", 0), ("leading", 1), ("trailing", 0), ("linspace", 0)])
def test_stride_visits_the_timesteps_of_diffusers(spacing: str, offset: int, steps: int) -> None:
    steps = min(steps, 1000 - offset)  # beyond, diffusers leaves the table and we refuse
    theirs = diffusers.DDIMScheduler(timestep_spacing=spacing, steps_offset=offset)
    theirs.set_timesteps(steps)
    nodes = Stride(steps, 1000, spacing, offset).nodes(TABLE)
    i = TABLE.t_of_logsnr(-2 * nodes.sigma_hat[:-1].log()) * 1000 - 1
    torch.testing.assert_close(i, theirs.timesteps.double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("steps", [5, 10, 50])
def test_ddim_on_a_leading_stride_is_the_one_of_diffusers(steps: int) -> None:
    theirs = diffusers.DDIMScheduler(clip_sample=False, set_alpha_to_one=True)
    theirs.set_timesteps(steps)
    products = torch.cumprod(1 - linear_betas(1e-4, 0.02, 1000), 0)
    theirs.alphas_cumprod, theirs.final_alpha_cumprod = products, torch.tensor(1.0).double()
    oracle = gaussian(torch.full((1, 2, 2), 0.4, dtype=torch.float64), 0.7)
    x = torch.randn(4, 1, 2, 2, dtype=torch.float64, generator=generator(0))
    ours = last(ddim(oracle, x, Stride(steps).nodes(TABLE), torch.zeros_like))
    for t in theirs.timesteps:
        alpha, sigma = products[t].sqrt(), (1 - products[t]).sqrt()
        x = theirs.step((x - alpha * oracle(x, alpha, sigma)) / sigma, t, x, eta=0.0).prev_sample
    torch.testing.assert_close(ours, x, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((11, 10), r"grid\.steps=11 .* does not fit the 10 levels .* at most grid\.steps=10"),
        ((10, 10, "leading", 1), r"grid\.offset=1 does not fit the 10 levels .* at most grid\.steps=9"),
        ((5, 10, "even"), r"grid\.spacing=even: it is one of leading, trailing, linspace"),
        ((5, 10, "trailing", 1), r"grid\.offset=1 with grid\.spacing=trailing"),
    ],
)
def test_stride_outside_its_table_is_refused(arguments: tuple[int, int, str, int], words: str) -> None:
    with pytest.raises(DifflabError, match=words):
        Stride(*arguments)


def test_stride_of_more_steps_than_the_trained_part_of_the_table_is_refused() -> None:
    with pytest.raises(DifflabError, match="does not fit the 8 levels"):
        Stride(9, 10).nodes(Cosine(t_max=0.8))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
def test_align_your_steps_is_the_published_list(schedule: Schedule) -> None:
    nodes = built("align_your_steps").nodes(schedule)
    torch.testing.assert_close(nodes.sigma_hat, torch.tensor(AYS, dtype=torch.float64), rtol=1e-9, atol=0)


@pytest.mark.parametrize("steps", [5, 7, 20])
def test_resampling_is_the_one_published_with_align_your_steps(steps: int) -> None:
    """The loglinear_interp of its project page over the list with its end; no noise takes the place of the last."""
    published = [*AYS[:-1], 0.029]
    logs = np.interp(np.linspace(0, 1, steps + 1), np.linspace(0, 1, 11), np.log(published[::-1]))
    expected = torch.from_numpy(np.exp(logs)[::-1].copy())[:-1]
    nodes = Explicit(steps, AYS[:-1], end=0.029).nodes(VE())
    torch.testing.assert_close(nodes.sigma_hat[:-1], expected, rtol=1e-9, atol=0)


def test_a_list_without_an_end_keeps_its_last_level() -> None:
    nodes = Explicit(5, [16.0, 4.0, 1.0]).nodes(VE())
    assert nodes.sigma_hat.tolist() == pytest.approx([16, 8, 4, 2, 1, 0])


def test_what_is_noisier_than_the_schedule_gives_way_to_its_noisiest_level() -> None:
    nodes = Explicit(3, [700.0, 100.0, 60.0, 1.0]).nodes(VE())
    assert nodes.sigma_hat.tolist() == pytest.approx([80, 60, 1, 0])


@pytest.mark.parametrize(
    ("sigma_hats", "end"),
    [
        ([], None),
        ([1.0, 2.0], None),
        ([2.0, 2.0], None),
        ([2.0, 0.0], None),
        ([math.inf, 1.0], None),
        ([2.0, 1.0], 1.5),
    ],
)
def test_lists_that_do_not_fall_are_refused(sigma_hats: list[float], end: float | None) -> None:
    with pytest.raises(DifflabError, match=r"grid\.sigma_hats=.* fall to the end"):
        Explicit(2, sigma_hats, end)


def test_neighbours_of_one_level_are_refused() -> None:
    with pytest.raises(DifflabError, match="two neighbouring nodes"):
        Nodes(torch.ones(3).double(), torch.tensor([1.0, 1.0, 0.0]).double())


@pytest.mark.parametrize(
    ("name", "numbers", "words"),
    [
        ("stride", {"levels": 0}, "grid.levels=0: it is a whole number, 1 or more"),
        ("stride", {"spacing": "even"}, "grid.spacing=even: it is one of leading"),
        ("stride", {"offset": 2}, "grid.offset=2: it is one of 0, 1"),
        ("align_your_steps", {"end": 0.0}, "grid.end=0.0: it is a number above 0"),
        ("churn", {"churn": -1.0}, "grid.churn=-1.0: it is a number, 0 or more"),
        ("churn", {"base": {"rho": 0.0}}, "grid.base.rho=0.0: it is a number above 0"),
        ("time_travel", {"jump_length": 0}, "grid.jump_length=0: it is a whole number, 1 or more"),
        ("restart", {"inner_steps": 0}, "grid.inner_steps=0: it is a whole number, 1 or more"),
    ],
)
def test_bad_numbers_are_refused_before_anything_is_built(name: str, numbers: dict[str, Any], words: str) -> None:
    grid = OmegaConf.merge(OmegaConf.load(conf_dir() / "grid" / f"{name}.yaml"), numbers)
    with pytest.raises(DifflabError) as error:
        validate(OmegaConf.create({"grid": grid}))
    assert words in str(error.value)
