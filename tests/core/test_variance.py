"""The variances of q(x' | x) against those of jointly Gaussian variables, on all kinds of paths."""

import pytest
import torch
from torch import Tensor

from difflab import variance
from difflab.samplers.base import Levels
from difflab.schedules import VE, Cosine, LinearVP, Rectified, Schedule
from difflab.tables import Tabulated, linear_betas

SCHEDULES = [Cosine(), LinearVP(), Rectified(), VE()]


def levels(schedule: Schedule, t: float, t_: float) -> Levels:
    (alpha, alpha_), (sigma, sigma_) = schedule.alpha_sigma(torch.tensor([t, t_], dtype=torch.float64))
    return alpha, sigma, alpha_, sigma_


def conditional(deviation: float, at: Levels) -> tuple[Tensor, Tensor]:
    """(gain, variance) of x' given x, for data of this deviation, where x is x' diffused on."""
    alpha, sigma, alpha_, sigma_ = at
    var, var_ = alpha**2 * deviation**2 + sigma**2, alpha_**2 * deviation**2 + sigma_**2
    covariance = alpha / alpha_ * var_
    return covariance / var, var_ - covariance**2 / var


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
@pytest.mark.parametrize("pair", [(0.9, 0.5), (0.5, 0.45), (0.1, 0.01)])
def test_bounds_are_the_variances_for_known_and_for_white_data(schedule: Schedule, pair: tuple[float, float]) -> None:
    at = levels(schedule, *pair)
    torch.testing.assert_close(variance.posterior(*at), conditional(0.0, at)[1], rtol=1e-9, atol=0)
    torch.testing.assert_close(variance.upper(*at), conditional(1.0, at)[1], rtol=1e-9, atol=0)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
def test_mean_is_that_of_x_given_both_ends(schedule: Schedule) -> None:
    at = levels(schedule, 0.7, 0.3)
    alpha, _, alpha_, _ = at
    x, x0 = torch.tensor([[1.3], [-0.2]]).double(), torch.tensor([[0.4], [0.5]]).double()
    expected = alpha_ * x0 + conditional(0.0, at)[0] * (x - alpha * x0)
    torch.testing.assert_close(variance.posterior_mean(x, x0, *at), expected, rtol=1e-12, atol=0)


def test_neighbours_of_a_table_have_its_betas() -> None:
    """DDPM (2006.11239) eq. 7: beta_t, and beta tilde_t."""
    betas = linear_betas(1e-4, 0.02, 1000)
    product = torch.cumprod(1 - betas, 0)
    at = levels(Tabulated(betas), 0.5, 0.499)
    torch.testing.assert_close(variance.upper(*at), betas[499], rtol=1e-9, atol=0)
    torch.testing.assert_close(variance.added(*at), betas[499], rtol=1e-9, atol=0)
    tilde = (1 - product[498]) / (1 - product[499]) * betas[499]
    torch.testing.assert_close(variance.posterior(*at), tilde, rtol=1e-9, atol=0)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
def test_learned_variance_runs_evenly_in_the_logarithm_between_the_bounds(schedule: Schedule) -> None:
    at = levels(schedule, 0.6, 0.4)
    fractions = torch.tensor([-0.3, 0.0, 0.5, 1.0, 1.5]).double()  # those beyond are held at the bounds
    low, high = variance.posterior(*at).log(), variance.upper(*at).log()
    assert low < high
    expected = low + fractions.clamp(0, 1) * (high - low)
    torch.testing.assert_close(variance.learned(fractions, *at).log(), expected, rtol=1e-12, atol=1e-12)


def test_a_path_drawn_larger_has_its_variances_larger() -> None:
    alpha, sigma, alpha_, sigma_ = levels(Cosine(), 0.6, 0.4)
    scaled = 3 * alpha, 3 * sigma, 5 * alpha_, 5 * sigma_
    for of in (variance.posterior, variance.upper):
        torch.testing.assert_close(of(*scaled), 25 * of(alpha, sigma, alpha_, sigma_), rtol=1e-12, atol=0)
    torch.testing.assert_close(
        variance.added(*scaled), 9 * variance.added(alpha, sigma, alpha_, sigma_), rtol=1e-12, atol=0
    )


def test_ends_are_finite() -> None:
    zero, one, s = torch.tensor([0.0, 1.0, 0.6]).double()
    noise, clean = (zero, one), (one, zero)
    middle = (one - s, s)
    x, x0 = one[None, None], zero[None, None] + 0.3
    assert variance.posterior(*noise, *middle) == s**2  # of pure noise x says nothing of x'
    assert variance.upper(*noise, *middle) == (one - s) ** 2 + s**2
    assert variance.posterior(*middle, *clean) == 0
    assert variance.learned(s, *middle, *clean) == 0
    torch.testing.assert_close(variance.posterior_mean(x, x0, *middle, *clean), x0)
    torch.testing.assert_close(variance.posterior_mean(x, x0, *noise, *clean), x0)
