"""Schedules made of others, against their papers and diffusers."""

import math

import diffusers
import pytest
import torch
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr

from difflab.errors import DifflabError
from difflab.logsnr_schedules import Laplace
from difflab.reshaped import Interpolated, Reshaped, Shifted, ZeroTerminalSnr
from difflab.schedules import VE, Cosine, LinearVP, Rectified, Schedule
from difflab.tables import Tabulated, linear_betas, scaled_linear_betas

T = torch.linspace(0.001, 0.999, 200, dtype=torch.float64)
NODES = torch.arange(1, 1001, dtype=torch.float64) / 1000
TABLES = {"ddpm": linear_betas(1e-4, 0.02, 1000), "sd": scaled_linear_betas(0.00085, 0.012, 1000)}
SD = Tabulated(TABLES["sd"])


@pytest.mark.parametrize("shift", [0.5, 3.0, 6.0])
def test_shift_of_the_straight_path_is_stable_diffusion_3_s(shift: float) -> None:
    alpha, sigma = Shifted(Rectified(), shift).alpha_sigma(T)
    t = shift * T / (1 + (shift - 1) * T)
    torch.testing.assert_close(sigma, t, rtol=1e-14, atol=0)
    torch.testing.assert_close(alpha, 1 - t, rtol=1e-12, atol=0)


def test_shift_of_the_straight_path_is_diffusers_shift() -> None:
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=3.0).sigmas
    _, sigma = Shifted(Rectified(), 3).alpha_sigma(NODES.flip(0))
    # Theirs are float32.
    torch.testing.assert_close(sigma.float(), theirs, rtol=1e-6, atol=0)


def test_shift_of_the_cosine_is_simple_diffusion_s() -> None:
    """-2 log tan(pi t / 2) + 2 log(64 / d) for pictures of d x d, 2301.11093."""
    for d in (32, 128, 512):
        expected = -2 * (math.pi * T / 2).tan().log() + 2 * math.log(64 / d)
        torch.testing.assert_close(Shifted(Cosine(), d / 64).logsnr(T), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("base", [VE(), LinearVP(), SD], ids=lambda s: s.name)
def test_finite_end_moves_by_the_factor(base: Schedule) -> None:
    ends = torch.tensor([base.t_min, 1.0], dtype=torch.float64)
    before, after = base.alpha_sigma(ends), Shifted(base, 3).alpha_sigma(ends)
    torch.testing.assert_close(after[1] / after[0], 3 * before[1] / before[0])


@pytest.mark.parametrize("base", [Cosine(), Laplace(), Rectified()], ids=lambda s: s.name)
def test_end_without_signal_stays(base: Schedule) -> None:
    alpha, sigma = Shifted(base, 0.1).alpha_sigma(torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert (alpha.tolist(), sigma.tolist()) == ([1, 0], [0, 1])


def test_shifts_multiply() -> None:
    twice, once = Shifted(Shifted(VE(), 2), 1.5), Shifted(VE(), 3)
    torch.testing.assert_close(twice.logsnr(T), once.logsnr(T))
    torch.testing.assert_close(Shifted(SD, 1).alpha_sigma(T), SD.alpha_sigma(T))


@pytest.mark.parametrize("betas", TABLES.values(), ids=TABLES)
def test_zero_terminal_table_is_diffusers_table(betas: torch.Tensor) -> None:
    alpha2 = torch.cumprod(1 - rescale_zero_terminal_snr(betas), 0)
    alpha, sigma = ZeroTerminalSnr(Tabulated(betas)).alpha_sigma(NODES)
    torch.testing.assert_close(alpha**2, alpha2, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(sigma**2, 1 - alpha2, rtol=1e-10, atol=0)
    assert (alpha[-1], sigma[-1]) == (0, 1)


def test_zero_terminal_is_its_base_next_to_the_data() -> None:
    """Below t_min, without a gap there: the stretched alpha would be above 1 at t = 0."""
    t = torch.linspace(0, SD.t_min, 11, dtype=torch.float64)
    torch.testing.assert_close(ZeroTerminalSnr(SD).logsnr(t), SD.logsnr(t), rtol=1e-12, atol=0)
    after = torch.tensor([SD.t_min + 1e-9], dtype=torch.float64)
    torch.testing.assert_close(ZeroTerminalSnr(SD).logsnr(after), SD.logsnr(after), rtol=0, atol=1e-7)
    levels = torch.tensor([8.0, 12.0, 20.0], dtype=torch.float64)
    torch.testing.assert_close(ZeroTerminalSnr(SD).t_of_logsnr(levels), SD.t_of_logsnr(levels))


def test_zero_terminal_leaves_alone_what_ends_without_signal() -> None:
    torch.testing.assert_close(ZeroTerminalSnr(Cosine()).alpha_sigma(T), Cosine().alpha_sigma(T))


@pytest.mark.parametrize("base", [VE(), Rectified(), Shifted(Rectified(), 3)], ids=lambda s: s.name)
def test_zero_terminal_needs_a_base_that_preserves_the_variance(base: Schedule) -> None:
    with pytest.raises(DifflabError) as error:
        ZeroTerminalSnr(base)
    assert f"'{base.name}'" in str(error.value)
    assert "use a table, LinearVP" in str(error.value)


def test_interpolated_cosine_is_simple_diffusion_s() -> None:
    """256 x 256, as noisy as 256 / 256 at the data and as 256 / 32 at the noise."""
    cosine = -2 * (math.pi * T / 2).tan().log()
    expected = (1 - T) * (cosine + 2 * math.log(256 / 256)) + T * (cosine + 2 * math.log(32 / 256))
    found = Interpolated(Shifted(Cosine(), 1), Shifted(Cosine(), 8)).logsnr(T)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_interpolation_of_a_schedule_with_itself_is_itself() -> None:
    for base in (Cosine(), VE(), SD):
        itself = Interpolated(base, base)
        torch.testing.assert_close(itself.alpha_sigma(T), base.alpha_sigma(T), rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(itself.dlogsnr(T), base.dlogsnr(T), rtol=1e-12, atol=0)


def test_bisection_finds_tiny_times_and_the_ends() -> None:
    schedule = Interpolated(Laplace(), Shifted(Laplace(), 2))
    t = torch.tensor([0.0, 1e-200, 1e-12, 1e-6, 0.5, 1.0], dtype=torch.float64)
    torch.testing.assert_close(schedule.t_of_logsnr(schedule.logsnr(t)), t, rtol=1e-12, atol=0)


def test_level_beyond_a_finite_end_gives_this_end() -> None:
    schedule = Interpolated(VE(), Shifted(VE(), 2))
    assert schedule.t_of_logsnr(torch.tensor([100.0, -100.0], dtype=torch.float64)).tolist() == [0, 1]


def test_interpolation_that_rises_is_refused() -> None:
    """logsnr' = cosine's (-2 pi at most) + 2 log(factor at the data / factor at the noise)."""
    limit = math.exp(math.pi)
    Interpolated(Shifted(Cosine(), 0.99 * limit), Cosine())
    with pytest.raises(DifflabError, match=r"from 'shifted\(cosine\)' at the data to 'cosine' at the noise"):
        Interpolated(Shifted(Cosine(), 1.01 * limit), Cosine())


def test_interpolation_to_a_finite_end_is_refused_only_where_it_rises() -> None:
    with pytest.raises(DifflabError, match=r"at t=1: .* set schedule\.t_max lower"):
        Interpolated(Cosine(), LinearVP())
    Interpolated(Cosine(), LinearVP(), t_max=0.999)


def test_wrapper_keeps_the_first_time_and_says_what_it_wraps() -> None:
    schedules: list[tuple[Reshaped, str]] = [
        (Shifted(SD, 2, t_max=0.9), "shifted(tabulated)"),
        (ZeroTerminalSnr(SD, t_max=0.9), "zeroterminalsnr(tabulated)"),
        (Interpolated(SD, Shifted(SD, 2), t_max=0.9), "interpolated(tabulated, shifted(tabulated))"),
    ]
    for schedule, name in schedules:
        assert (schedule.name, schedule.t_min, schedule.t_max) == (name, SD.t_min, 0.9)


@pytest.mark.parametrize("factor", [0, -1.0, math.nan, math.inf])
def test_factor_that_is_no_shift_is_refused(factor: float) -> None:
    with pytest.raises(DifflabError, match=rf"'shifted\(cosine\)' needs factor > 0: got .*factor={factor}"):
        Shifted(Cosine(), factor)
