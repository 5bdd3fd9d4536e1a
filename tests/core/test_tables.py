"""Tables of betas, and what they become between their nodes, against the formulas and diffusers' tables."""

import diffusers
import pytest
import torch
from torch import Tensor

from difflab.errors import DifflabError
from difflab.schedules import Cosine, LinearVP
from difflab.tables import Tabulated, cosine_betas, linear_betas, scaled_linear_betas

DDPM = Tabulated(linear_betas(1e-4, 0.02, 1000))
NODES = torch.arange(1, 1001, dtype=torch.float64) / 1000


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (linear_betas(1e-4, 0.02, 1000), {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}),
        (
            scaled_linear_betas(0.00085, 0.012, 1000),
            {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
        ),
        (cosine_betas(1000), {"beta_schedule": "squaredcos_cap_v2"}),
    ],
    ids=["linear", "scaled_linear", "cosine"],
)
def test_tables_are_diffusers_tables(ours: Tensor, theirs: dict) -> None:
    # Theirs are made in float32: a few of its roundings.
    betas = diffusers.DDPMScheduler(num_train_timesteps=1000, **theirs).betas
    torch.testing.assert_close(ours, betas.double(), rtol=1e-6, atol=0)


def test_table_goes_through_the_products_of_the_betas() -> None:
    products = torch.cumprod(1 - linear_betas(1e-4, 0.02, 1000), 0)
    alpha, _ = DDPM.alpha_sigma(NODES)
    torch.testing.assert_close(alpha**2, products, rtol=1e-10, atol=0)


def test_continuous_ddpm_is_the_limit_of_its_table() -> None:
    t = torch.linspace(0.05, 1, 20, dtype=torch.float64)
    torch.testing.assert_close(DDPM.logsnr(t), LinearVP().logsnr(t), rtol=0.02, atol=0.05)


def test_cosine_table_is_the_cosine_schedule_at_its_nodes() -> None:
    """Up to the last, whose beta is cut; that leaves signal where the schedule has none."""
    table, formula = Tabulated(cosine_betas(1000, 0.008)), Cosine(offset=0.008)
    torch.testing.assert_close(table.logsnr(NODES[:-1]), formula.logsnr(NODES[:-1]), rtol=1e-11, atol=1e-11)
    assert table.alpha_sigma(NODES[-1:])[0] > 0 == formula.alpha_sigma(NODES[-1:])[0]


def test_largest_beta_is_the_one_asked_for() -> None:
    assert cosine_betas(1000, max_beta=0.5).max() == 0.5
    assert cosine_betas(1000).max() == 0.999


def test_slope_at_a_node_is_that_of_the_segment_that_ends_there() -> None:
    levels, nodes = DDPM.logsnr(NODES), DDPM.dlogsnr(NODES)
    segments = levels.diff() * 1000
    torch.testing.assert_close(nodes[1:], segments, rtol=1e-9, atol=0)
    assert nodes[0] == nodes[1]
    torch.testing.assert_close(DDPM.dlogsnr(NODES[:-1] + 5e-4), segments, rtol=1e-9, atol=0)


def test_first_segment_is_continued_to_the_data_and_beyond() -> None:
    t = torch.tensor([-0.001, 0.0, 0.0005, 0.001, 0.002], dtype=torch.float64)
    line = DDPM.logsnr(t[-1]) + DDPM.dlogsnr(t[-1]) * (t - t[-1])
    torch.testing.assert_close(DDPM.logsnr(t), line)
    torch.testing.assert_close(DDPM.t_of_logsnr(line), t, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("betas", "message"),
    [
        ([0.1, 1.2], "got 2, 1 of them outside"),
        ([0.1, 1.0], "ends without signal is a difflab.reshaped.ZeroTerminalSnr"),
        ([0.0, 0.1], "1 of them outside"),
        ([0.1], "at least 2 betas, all between 0 and 1: got 1, 0 of them"),
        ([], "got 0, 0 of them"),
    ],
)
def test_bad_tables_are_refused(betas: list[float], message: str) -> None:
    with pytest.raises(DifflabError, match=message):
        Tabulated(betas)
