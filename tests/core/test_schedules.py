"""Every schedule is monotone, on the right scale, and inverts."""

import math

import pytest
import torch

from difflab.schedules import VE, Cosine, LinearVP, Rectified, Schedule, Tabulated, linear_betas

DDPM = Tabulated(linear_betas(1e-4, 0.02, 1000))
SCHEDULES = [Cosine(), LinearVP(), Rectified(), VE(), DDPM]
VP = [Cosine(), LinearVP(), DDPM]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-9), (torch.float32, 2e-3)])
def test_t_of_logsnr_inverts_logsnr(schedule: Schedule, dtype: torch.dtype, rtol: float) -> None:
    t = torch.linspace(0.01, 0.99, 97, dtype=dtype)
    torch.testing.assert_close(schedule.t_of_logsnr(schedule.logsnr(t)), t, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
def test_logsnr_falls_and_agrees_with_alpha_and_sigma(schedule: Schedule) -> None:
    t = torch.linspace(schedule.t_min, 0.999, 1000, dtype=torch.float64)
    logsnr = schedule.logsnr(t)
    assert (logsnr.diff() < 0).all()
    alpha, sigma = schedule.alpha_sigma(t)
    torch.testing.assert_close(2 * (alpha / sigma).log(), logsnr, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("schedule", VP, ids=lambda s: s.name)
def test_variance_is_preserved(schedule: Schedule) -> None:
    alpha, sigma = schedule.alpha_sigma(torch.linspace(0.001, 1, 500, dtype=torch.float64))
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(alpha), rtol=1e-12, atol=1e-12)


def test_table_goes_through_the_products_of_the_betas() -> None:
    products = torch.cumprod(1 - linear_betas(1e-4, 0.02, 1000), 0)
    alpha, _ = DDPM.alpha_sigma(torch.arange(1, 1001, dtype=torch.float64) / 1000)
    torch.testing.assert_close(alpha**2, products, rtol=1e-10, atol=0)


def test_continuous_ddpm_is_the_limit_of_its_table() -> None:
    t = torch.linspace(0.05, 1, 20, dtype=torch.float64)
    torch.testing.assert_close(DDPM.logsnr(t), LinearVP().logsnr(t), rtol=0.02, atol=0.05)


def test_known_values() -> None:
    half = torch.tensor(0.5, dtype=torch.float64)
    assert Cosine().logsnr(half).item() == pytest.approx(0, abs=1e-12)
    assert Rectified().logsnr(half).item() == pytest.approx(0, abs=1e-12)
    assert VE().alpha_sigma(torch.tensor([0.0, 1.0]).double())[1].tolist() == pytest.approx([0.002, 80])
    integral = 0.1 * 0.5 + 19.9 * 0.125
    assert LinearVP().alpha_sigma(half)[0].item() == pytest.approx(math.exp(-integral / 2))


def test_bad_bounds_and_tables_are_refused() -> None:
    with pytest.raises(ValueError, match=r"t_max=1\.5"):
        Cosine(t_max=1.5)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Tabulated([0.1, 1.2])
