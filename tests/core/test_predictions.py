"""y = a x0 + b eps inverts for every prediction and schedule, and impossible pairs are refused."""

import pytest
import torch

from difflab.errors import DifflabError
from difflab.grids import Karras, UniformT
from difflab.predictions import X0, Eps, Flow, Prediction, V, check_recoverable
from difflab.schedules import VE, Cosine, LinearVP, Rectified, Schedule

PREDICTIONS = [Eps(), X0(), V(), V(0.5), Flow()]
SCHEDULES = [Cosine(), LinearVP(), Rectified(), VE()]


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=repr)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-3)])
def test_round_trip(prediction: Prediction, schedule: Schedule, dtype: torch.dtype, tolerance: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(2, 50, 3, 4, 4, generator=generator, dtype=torch.float64).to(dtype)
    t = torch.linspace(0.2, 0.8, 50, dtype=torch.float64)
    alpha, sigma = (a.to(dtype).reshape(-1, 1, 1, 1) for a in schedule.alpha_sigma(t))
    x, y = alpha * x0 + sigma * eps, prediction.target(x0, eps, alpha, sigma)
    torch.testing.assert_close(prediction.x0(x, y, alpha, sigma), x0, rtol=tolerance, atol=tolerance * 50)
    torch.testing.assert_close(prediction.eps(x, y, alpha, sigma), eps, rtol=tolerance, atol=tolerance * 50)


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=repr)
def test_guess_does_not_depend_on_the_scale_of_the_path(prediction: Prediction) -> None:
    """D(kx, k alpha, k sigma) = D(x, alpha, sigma), given the same network output."""
    x, y = torch.randn(2, 5, dtype=torch.float64)
    alpha, sigma = torch.tensor(0.6).double(), torch.tensor(0.7).double()
    once = prediction.x0(x, y, alpha, sigma)
    torch.testing.assert_close(prediction.x0(3 * x, y, 3 * alpha, 3 * sigma), once, rtol=1e-12, atol=1e-12)


def test_v_with_sigma_data_is_edm_preconditioning() -> None:
    """D = c_skip x + c_out F of EDM table 1, with F = -y, at alpha = 1."""
    d, sigma = 0.5, torch.tensor(2.0).double()
    x, f = torch.randn(2, 5, dtype=torch.float64)
    c_skip, c_out = d**2 / (sigma**2 + d**2), sigma * d / (sigma**2 + d**2).sqrt()
    ours = V(d).x0(x, -f, torch.tensor(1.0).double(), sigma)
    torch.testing.assert_close(ours, c_skip * x + c_out * f, rtol=1e-12, atol=1e-12)


def test_eps_at_pure_noise_is_refused_by_name() -> None:
    with pytest.raises(DifflabError, match=r"prediction 'eps' cannot recover x0 at t=1 of schedule 'cosine'"):
        check_recoverable(Eps(), Cosine(), UniformT(10).nodes(Cosine()))


@pytest.mark.parametrize("prediction", [X0(), V(), Flow()], ids=repr)
def test_others_start_from_pure_noise(prediction: Prediction) -> None:
    check_recoverable(prediction, Cosine(), UniformT(10).nodes(Cosine()))


def test_eps_is_fine_below_pure_noise() -> None:
    short = Cosine(t_max=0.99)
    check_recoverable(Eps(), short, UniformT(10).nodes(short))
    check_recoverable(Eps(), Cosine(), Karras(10).nodes(Cosine()))
