"""Every schedule falls, inverts, has the slope it says, and keeps its digits; each file of conf/schedule by itself."""

import math
import re
from functools import cache

import pytest
import scipy.stats
import torch
from omegaconf import OmegaConf
from torch import Tensor

from difflab.config.instantiate import build
from difflab.errors import DifflabError
from difflab.files import conf_dir
from difflab.logsnr_schedules import Laplace, Sigmoid
from difflab.reshaped import Interpolated, Shifted, ZeroTerminalSnr
from difflab.schedules import VE, Cosine, LinearVP, Rectified, Schedule
from difflab.tables import Tabulated, linear_betas

FILES = {path.stem: path for path in sorted((conf_dir() / "schedule").glob("*.yaml"))}
DDPM = Tabulated(linear_betas(1e-4, 0.02, 1000))
# Other numbers than the files', and wrappers over what no file wraps.
OTHERS = {
    "cosine 0.008": Cosine(offset=0.008),
    "lopsided sigmoid": Sigmoid(start=0, end=3, tau=0.3),
    "steep sigmoid": Sigmoid(tau=0.1),
    "wide laplace": Laplace(mean=-1, scale=2),
    "shifted ve": Shifted(VE(), 3),
    "shifted table": Shifted(DDPM, 0.5),
    "shifted linear_vp": Shifted(LinearVP(), 4),
    "zero terminal linear_vp": ZeroTerminalSnr(LinearVP()),
    "zero terminal cosine": ZeroTerminalSnr(Cosine()),
    "interpolated laplace": Interpolated(Laplace(), Shifted(Laplace(), 2)),
    "interpolated ve": Interpolated(VE(), Shifted(VE(), 2)),
    "interpolated tables": Interpolated(DDPM, ZeroTerminalSnr(DDPM), t_max=0.999),
}
ALL = pytest.mark.parametrize("name", [*FILES, *OTHERS])
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)


@cache
def schedule_of(name: str) -> Schedule:
    return OTHERS[name] if name in OTHERS else build(OmegaConf.load(FILES[name]))


def times(schedule: Schedule, last: float = 1e-6) -> Tensor:
    """From just above t_min to `last` before 1, dense at both ends; not on a kink (t_min, 1/2 of Laplace)."""
    start = math.log10(1.01 * max(schedule.t_min, 1e-5))
    ends = torch.logspace(start, -2, 60), 1 - torch.logspace(-2, math.log10(last), 60, dtype=torch.float64)
    return torch.cat([ends[0].double(), torch.linspace(0.011, 0.987, 201, dtype=torch.float64), ends[1]])


@ALL
@DTYPES
def test_t_of_logsnr_inverts_logsnr(name: str, dtype: torch.dtype) -> None:
    """Up to 16 roundings of the time and of the level between them."""
    schedule = schedule_of(name)
    t = times(schedule, 1e-4).to(dtype)
    logsnr, slope = schedule.logsnr(t), schedule.dlogsnr(t).abs()
    rounding = 16 * torch.finfo(dtype).eps * (t + (1 + logsnr.abs()) / slope)
    assert ((schedule.t_of_logsnr(logsnr) - t).abs() <= rounding).all()


@ALL
def test_dlogsnr_is_the_derivative_of_logsnr(name: str) -> None:
    t = times(schedule_of(name)).requires_grad_()
    (slope,) = torch.autograd.grad(schedule_of(name).logsnr(t).sum(), t)
    # What autograd itself loses where it differentiates 1 - alpha(1)/alpha next to t = 1.
    torch.testing.assert_close(schedule_of(name).dlogsnr(t.detach()), slope, rtol=1e-9, atol=0)


@ALL
def test_logsnr_falls_and_so_says_its_slope(name: str) -> None:
    t = times(schedule_of(name))
    assert (schedule_of(name).logsnr(t).diff() < 0).all()
    assert (schedule_of(name).dlogsnr(t) < 0).all()


@ALL
def test_amplitudes_are_those_of_the_level(name: str) -> None:
    schedule = schedule_of(name)
    t = times(schedule)
    alpha, sigma = schedule.alpha_sigma(t)
    torch.testing.assert_close(2 * (alpha / sigma).log(), schedule.logsnr(t), rtol=1e-13, atol=1e-13)
    for found, wanted in zip(schedule.at_logsnr(schedule.logsnr(t)), (alpha, sigma), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-13, atol=0)


@ALL
@DTYPES
def test_path_is_kept(name: str, dtype: torch.dtype) -> None:
    """alpha = 1, alpha + sigma = 1 or alpha^2 + sigma^2 = 1, whatever a wrapper does to the times."""
    words = re.findall(r"\w+", schedule_of(name).name)
    alpha, sigma = schedule_of(name).alpha_sigma(torch.linspace(0, 1, 501, dtype=dtype))
    kept = alpha if "ve" in words else alpha + sigma if "rectified" in words else alpha**2 + sigma**2
    torch.testing.assert_close(kept, torch.ones_like(kept), rtol=8 * torch.finfo(dtype).eps, atol=0)


@ALL
@DTYPES
def test_ends_are_exact_or_finite(name: str, dtype: torch.dtype) -> None:
    """Where there is no noise or no signal, levels and slopes are infinite; nothing is NaN."""
    schedule, ends = schedule_of(name), torch.tensor([0, 1], dtype=dtype)
    logsnr, slope, (alpha, sigma) = schedule.logsnr(ends), schedule.dlogsnr(ends), schedule.alpha_sigma(ends)
    assert logsnr[0] > logsnr[1]
    assert torch.equal(slope.isinf(), logsnr.isinf())
    assert (slope < 0).all()
    assert (sigma[0] == 0) == logsnr[0].isinf()
    assert (alpha[1] == 0) == logsnr[1].isinf()
    torch.testing.assert_close(schedule.t_of_logsnr(logsnr), ends, rtol=0, atol=16 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("name", [n for n in [*FILES, *OTHERS] if "zero" not in n and "tables" not in n])
def test_float32_keeps_the_level_next_to_both_ends(name: str) -> None:
    """Up to 16 roundings, also at t = 1 - 1e-4, where cos(pi t / 2) would be off by 3e-4 of itself.

    Not of ZeroTerminalSnr, which subtracts a constant that float32 rounds.
    """
    t = times(schedule_of(name), 1e-4).float()
    exact = schedule_of(name).logsnr(t.double())
    error = (schedule_of(name).logsnr(t) - exact).abs()
    assert (error <= 16 * torch.finfo(torch.float32).eps * (1 + exact.abs())).all()


@pytest.mark.parametrize("name", FILES)
def test_file_says_where_training_ends(name: str) -> None:
    node = OmegaConf.load(FILES[name])
    node.t_max = 0.9
    assert build(node).t_max == 0.9


def at(*t: float) -> Tensor:
    return torch.tensor(t, dtype=torch.float64)


def test_known_values() -> None:
    assert Cosine().logsnr(at(0.5)).item() == pytest.approx(0, abs=1e-12)
    assert Cosine().dlogsnr(at(0.5)).item() == pytest.approx(-2 * math.pi)
    assert Rectified().logsnr(at(0.5)).item() == pytest.approx(0, abs=1e-12)
    assert Rectified().dlogsnr(at(0.5)).item() == pytest.approx(-8)
    assert VE().alpha_sigma(at(0, 1))[1].tolist() == pytest.approx([0.002, 80])
    integral = 0.1 * 0.5 + 19.9 * 0.125
    assert LinearVP().alpha_sigma(at(0.5))[0].item() == pytest.approx(math.exp(-integral / 2))


def test_cosine_is_improved_ddpm_s() -> None:
    """alpha^2 = f(t) / f(0), 2102.09672 eq. 17."""
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    f = ((at(0, *t) + 0.008) / 1.008 * math.pi / 2).cos() ** 2
    torch.testing.assert_close(Cosine(offset=0.008).alpha_sigma(t)[0] ** 2, f[1:] / f[0])
    alpha, sigma = Cosine().alpha_sigma(t)
    torch.testing.assert_close(alpha, (t * math.pi / 2).cos())
    torch.testing.assert_close(sigma, (t * math.pi / 2).sin())


@pytest.mark.parametrize(("start", "end", "tau"), [(-3, 3, 1.0), (0, 3, 0.3), (-3, 3, 0.1), (0, 3, 0.9)])
def test_sigmoid_is_chen_s(start: float, end: float, tau: float) -> None:
    """alpha^2 = gamma(t) as 2301.10972 writes it."""
    t = torch.linspace(0.01, 0.9, 50, dtype=torch.float64)
    first, last = (1 / (1 + math.exp(-v / tau)) for v in (start, end))
    gamma = (last - ((t * (end - start) + start) / tau).sigmoid()) / (last - first)
    torch.testing.assert_close(Sigmoid(start=start, end=end, tau=tau).alpha_sigma(t)[0] ** 2, gamma)


def test_uniform_times_of_laplace_are_laplace_distributed() -> None:
    t = times(Laplace())
    quantiles = scipy.stats.laplace.isf(t.numpy(), loc=-1, scale=0.5)
    torch.testing.assert_close(Laplace(mean=-1).logsnr(t), torch.from_numpy(quantiles))


def test_sigmoid_and_laplace_are_trained_to_the_last_level_of_karras_grid() -> None:
    for schedule in (Sigmoid(), Laplace(), Cosine(), Cosine(offset=0.0079), VE(), Rectified()):
        assert schedule.logsnr(at(schedule.t_min)).item() > -2 * math.log(0.0021)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: Cosine(t_max=1.5), r"'cosine' needs 0 < t_min < t_max <= 1: got Cosine\(.*t_max=1\.5"),
        (lambda: Cosine(t_min=0.0), r"t_min=0\.0"),
        (lambda: Cosine(offset=-0.1), r"offset >= 0: got .*offset=-0\.1"),
        (lambda: LinearVP(beta_min=-1.0), r"beta_min=-1\.0"),
        (lambda: Sigmoid(start=3, end=3), r"start < end .*start=3, end=3"),
        (lambda: Sigmoid(tau=0), r"tau > 0.* tau=0"),
        (lambda: Laplace(scale=0.0), r"scale > 0.* scale=0\.0"),
        (lambda: VE(sigma_min=80.0, sigma_max=0.002), r"sigma_min < sigma_max .*sigma_min=80\.0"),
        (lambda: VE(sigma_min=math.nan), r"sigma_min=nan"),
    ],
)
def test_numbers_that_make_no_schedule_are_refused(bad, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DifflabError, match=message):
        bad()
