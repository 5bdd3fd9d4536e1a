"""Training losses equal the formulas of the papers, written here on their own and in their own symbols."""

import pytest
import torch
from torch import Tensor, nn

from difflab.denoiser import Denoiser
from difflab.objective import Objective
from difflab.predictions import Eps, Flow, Prediction, V
from difflab.rng import generator
from difflab.schedules import VE, Cosine, Rectified, Schedule
from difflab.tables import Tabulated, linear_betas
from difflab.times import Uniform
from difflab.weightings import P2, MinSnr, Snr, SnrPlus, SoftMinSnr, TruncatedSnr, Weighting
from difflab.weightings import Flow as FlowWeighting


class Net(nn.Module):
    """Some function of what it is given; `sign` turns its output around."""

    def __init__(self, sign: int = 1) -> None:
        super().__init__()
        self.sign = sign

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return self.sign * (1.3 * x - 0.4 * x**2 + level.reshape(-1, 1, 1, 1)).tanh()


def batch() -> tuple[Tensor, Tensor]:
    x0, eps = torch.randn(2, 64, 1, 4, 4, generator=generator(0), dtype=torch.float64)
    return 0.5 * x0, eps


def ours(schedule: Schedule, prediction: Prediction, weighting: Weighting, t: Tensor, net: Net, d: float) -> Tensor:
    return Objective(schedule, weighting, Uniform()).at(Denoiser(net, prediction, d), *batch(), t).per_sample


def column(a: Tensor) -> Tensor:
    return a.reshape(-1, 1, 1, 1)


def mse(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().mean((1, 2, 3))


def ddpm_levels() -> tuple[Tensor, Tensor]:
    """64 steps of DDPM's chain, and the products of its 1 - beta there."""
    steps = torch.linspace(0, 999, 64).long()
    return steps, torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)[steps]


def ddpm_guess(x: Tensor, abar: Tensor) -> Tensor:
    """eps_theta(x_t, t) of data with deviation 1, told the level as log(sigma/alpha) / 4."""
    return Net()(x, ((1 - abar) / abar).log() / 8)


def test_ddpm_l_simple() -> None:
    """2006.11239 eq. 14."""
    (steps, abar), (x0, eps) = ddpm_levels(), batch()
    guess = ddpm_guess(column(abar.sqrt()) * x0 + column((1 - abar).sqrt()) * eps, abar)
    loss = ours(Tabulated(linear_betas(1e-4, 0.02, 1000)), Eps(), Snr(), (steps + 1).double() / 1000, Net(), 1.0)
    torch.testing.assert_close(loss, mse(eps, guess), rtol=1e-6, atol=0)


def min_snr(snr: Tensor) -> Tensor:
    """2303.09556 eq. 7 for a network that predicts eps."""
    return torch.minimum(snr, torch.tensor(5.0)) / snr


def p2(snr: Tensor) -> Tensor:
    """2204.00227 eq. 8 over the weight of L_simple."""
    return 1 / (1 + snr) ** 0.5


def truncated(snr: Tensor) -> Tensor:
    """2202.00512 section 4: max(|x - x_hat|^2, |eps - eps_hat|^2), as a weight on the error of eps."""
    return torch.maximum(torch.ones_like(snr), 1 / snr)


def soft_min_snr(snr: Tensor) -> Tensor:
    """2401.11605: the weight 4 SNR / (4 + SNR) on the error of x."""
    return 4 / (4 + snr)


@pytest.mark.parametrize(
    ("weighting", "paper"),
    [(MinSnr(5.0), min_snr), (P2(1.0, 0.5), p2), (TruncatedSnr(), truncated), (SoftMinSnr(4.0), soft_min_snr)],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_weights_on_the_error_of_eps(weighting: Weighting, paper) -> None:  # type: ignore[no-untyped-def]
    (steps, abar), (x0, eps) = ddpm_levels(), batch()
    guess = ddpm_guess(column(abar.sqrt()) * x0 + column((1 - abar).sqrt()) * eps, abar)
    loss = ours(Tabulated(linear_betas(1e-4, 0.02, 1000)), Eps(), weighting, (steps + 1).double() / 1000, Net(), 1.0)
    torch.testing.assert_close(loss, paper(abar / (1 - abar)) * mse(eps, guess), rtol=1e-6, atol=0)


def test_edm() -> None:
    """2206.00364 eq. 2, 7 and 8 with table 1, whose network is ours with the sign turned."""
    d, y, n = 0.5, *batch()
    t = torch.linspace(0.05, 0.95, 64, dtype=torch.float64)
    sigma = VE().alpha_sigma(t)[1]
    s = column(sigma)
    c_skip, c_out = d**2 / (s**2 + d**2), s * d / (s**2 + d**2).sqrt()
    c_in, c_noise = 1 / (s**2 + d**2).sqrt(), sigma.log() / 4
    denoised = c_skip * (y + s * n) + c_out * Net()(c_in * (y + s * n), c_noise)
    loss = (sigma**2 + d**2) / (sigma * d) ** 2 * mse(denoised, y)
    torch.testing.assert_close(ours(VE(), V(d), SnrPlus(d), t, Net(-1), d), loss, rtol=1e-6, atol=0)


def test_flow_matching() -> None:
    """2210.02747 eq. 23 with sigma_min = 0, whose time runs to the data: psi = (1 - s) noise + s data."""
    data, noise = batch()
    s = torch.linspace(0.05, 0.95, 64, dtype=torch.float64)
    psi = (1 - column(s)) * noise + column(s) * data
    inner = psi / (column(s) ** 2 * 0.25 + (1 - column(s)) ** 2).sqrt()
    velocity = Net()(inner, ((1 - s) / s).log() / 4)
    loss = ours(Rectified(), Flow(), FlowWeighting(), 1 - s, Net(-1), 0.5)
    torch.testing.assert_close(loss, mse(velocity, data - noise), rtol=1e-6, atol=0)


def test_v_diffusion() -> None:
    """2202.00512 appendix D: v = alpha eps - sigma x on the cosine path."""
    x, eps = batch()
    t = torch.linspace(0.05, 0.95, 64, dtype=torch.float64)
    phi = column(t * torch.pi / 2)
    z = phi.cos() * x + phi.sin() * eps
    v_hat = Net()(z, phi.tan().flatten().log() / 4)
    loss = ours(Cosine(), V(), SnrPlus(), t, Net(), 1.0)
    torch.testing.assert_close(loss, mse(phi.cos() * eps - phi.sin() * x, v_hat), rtol=1e-6, atol=0)


def test_sigmoid_is_a_weight_per_unit_of_logsnr() -> None:
    """2303.00848 eq. 4: E over logsnr of w |eps - eps_hat|^2 with w = sigmoid(bias - logsnr), integrated."""
    from difflab.times import UniformLogsnr
    from difflab.weightings import Sigmoid

    schedule, times, weighting = Cosine(), UniformLogsnr(8.0), Sigmoid(-1.0)
    u = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    logsnr = schedule.logsnr(times.within(u, schedule))
    error_of_eps = logsnr.sigmoid()  # any function of the level
    mean = (weighting(logsnr) * error_of_eps / logsnr.exp()).mean()
    grid = torch.linspace(-8, 8, 20_001, dtype=torch.float64)
    integral = torch.trapezoid((-1 - grid).sigmoid() * grid.sigmoid(), grid)
    torch.testing.assert_close(mean, integral / 16, rtol=1e-6, atol=0)
