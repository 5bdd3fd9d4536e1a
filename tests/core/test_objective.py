"""One loss in x0 space: the prediction can't change it, and the oracle minimises it."""

import pytest
import torch
from torch import Tensor, nn

from difflab.denoiser import Denoiser
from difflab.errors import DifflabError
from difflab.hybrid import Hybrid
from difflab.loss_aware import LossAware
from difflab.objective import Objective, check_trainable, to_x0_space
from difflab.oracles import gaussian
from difflab.predictions import X0, Eps, Flow, Prediction, V
from difflab.rng import generator
from difflab.schedules import Cosine, LinearVP, Rectified, Schedule
from difflab.times import Lognormal, Nodes, Times, Uniform
from difflab.weightings import (
    P2,
    Constant,
    LearnedUncertainty,
    MinSnr,
    Sigmoid,
    Snr,
    SnrPlus,
    SoftMinSnr,
    TruncatedSnr,
    Weighting,
)
from difflab.weightings import Flow as FlowWeighting

MATCHING = [(Eps(), Snr()), (V(), SnrPlus()), (V(0.5), SnrPlus(0.5)), (Flow(), FlowWeighting()), (X0(), Constant())]
SCHEDULES = [Cosine(), LinearVP(), Rectified()]
PREDICTIONS = [Eps(), X0(), V(), V(0.5), Flow()]
WEIGHTINGS: list[Weighting] = [
    Snr(), SnrPlus(0.5), FlowWeighting(), Constant(), MinSnr(5.0), SoftMinSnr(), Sigmoid(), TruncatedSnr(), P2(),
    LearnedUncertainty(SnrPlus(0.5)),
]  # fmt: skip


@pytest.mark.parametrize(("prediction", "weighting"), MATCHING, ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
def test_matching_pair_has_factor_one(prediction: Prediction, weighting: Weighting, schedule: Schedule) -> None:
    t = torch.linspace(0.001, 0.999, 500, dtype=torch.float64)
    factor = weighting(schedule.logsnr(t)) * to_x0_space(prediction, *schedule.alpha_sigma(t))
    torch.testing.assert_close(factor, torch.ones_like(factor), rtol=1e-9, atol=0)


class Fixed(nn.Module):
    """A network whose guess of x0 is one given picture, whatever the prediction."""

    def __init__(self, prediction: Prediction, sigma_data: float, schedule: Schedule, x0: Tensor, t: Tensor) -> None:
        super().__init__()
        self.alpha, self.sigma = (a.reshape(-1, 1, 1, 1) for a in schedule.alpha_sigma(t))
        self.prediction, self.sigma_data, self.x0 = prediction, sigma_data, x0

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        x = x * (self.alpha**2 * self.sigma_data**2 + self.sigma**2).sqrt()
        eps = (x - self.alpha * self.x0) / self.sigma
        return self.prediction.target(self.x0, eps, self.alpha, self.sigma)


@pytest.mark.parametrize("weighting", WEIGHTINGS, ids=lambda w: type(w).__name__)
@pytest.mark.parametrize("prediction", PREDICTIONS, ids=repr)
def test_prediction_does_not_change_the_objective(prediction: Prediction, weighting: Weighting) -> None:
    schedule, t = Cosine(), torch.linspace(0.05, 0.95, 16, dtype=torch.float64)
    x0, eps, guess = torch.randn(3, 16, 1, 4, 4, generator=generator(0), dtype=torch.float64)
    denoiser = Denoiser(Fixed(prediction, 0.5, schedule, guess, t), prediction, 0.5)
    loss = Objective(schedule, weighting, Uniform()).at(denoiser, x0, eps, t)
    error = (x0 - guess).square().flatten(1).mean(1)
    torch.testing.assert_close(loss.x0_mse, error, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(loss.per_sample, weighting(schedule.logsnr(t)) * error, rtol=1e-8, atol=1e-10)


class Oracle(nn.Module):
    """The exact denoiser of Gaussian data as a network that predicts x0, off by `bias`."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.bias = bias
        self.oracle = gaussian(torch.full((1, 4, 4), 0.3), 0.5)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        sigma = (4 * level).exp().reshape(-1, 1, 1, 1)  # sigma_hat, on the path alpha = 1
        x = x * (0.25 + sigma**2).sqrt()
        return self.oracle(x, torch.ones_like(sigma), sigma) + self.bias


@pytest.mark.parametrize("weighting", WEIGHTINGS, ids=lambda w: type(w).__name__)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
def test_oracle_minimises_the_loss(weighting: Weighting, schedule: Schedule) -> None:
    x0 = 0.3 + 0.5 * torch.randn(4096, 1, 4, 4, generator=generator(1))
    objective = Objective(schedule, weighting, Lognormal())

    def mean_loss(bias: float) -> float:
        return objective(Denoiser(Oracle(bias), X0(), 0.5), x0, generator(2)).per_sample.mean().item()

    exact = mean_loss(0.0)
    assert mean_loss(0.02) > exact < mean_loss(-0.02)


def test_learned_uncertainty_starts_at_its_base_and_finds_the_error_of_each_level() -> None:
    """At the minimum over u, e^u is the weighted error (EDM2, 2312.02696, section 4.2)."""
    torch.manual_seed(0)
    weighting = LearnedUncertainty(SnrPlus(0.5))
    t = torch.linspace(0.02, 0.98, 97, dtype=torch.float64)
    logsnr = Cosine().logsnr(t)
    torch.testing.assert_close(weighting(logsnr), SnrPlus(0.5)(logsnr))
    assert (weighting.terms(logsnr)[1] == 0).all()

    weighted = 0.1 + 3 * logsnr.sigmoid()  # any smooth error, weighted by the base
    mse = weighted / SnrPlus(0.5)(logsnr)
    optimizer = torch.optim.Adam(weighting.parameters(), lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        weight, offset = weighting.terms(logsnr)
        (weight * mse + offset).mean().backward()
        optimizer.step()
    torch.testing.assert_close(weighting.terms(logsnr)[1].exp(), weighted, rtol=0.1, atol=0)


@pytest.mark.parametrize("times", [Uniform(), Lognormal(), Nodes(1000), LossAware(10)], ids=lambda t: type(t).__name__)
def test_prediction_that_can_not_be_trained_is_refused(times: Times) -> None:
    """eps at alpha = 0 with a weight that stays above 0 there: the loss has no bound where that level is drawn."""
    objective = Objective(Cosine(), Constant(), times)
    if not isinstance(times, Nodes):  # t = 1 has no share of the draws
        check_trainable(Eps(), objective)
    else:
        with pytest.raises(DifflabError, match="prediction 'eps' cannot be trained at t=1 of schedule 'cosine'"):
            check_trainable(Eps(), objective)
    check_trainable(V(0.5), objective)
    check_trainable(Eps(), Objective(Cosine(t_max=0.99), Constant(), times))
    check_trainable(Eps(), Objective(Cosine(), Snr(), times))


def test_variance_can_not_be_trained_where_the_mean_is_lost() -> None:
    hybrid = Hybrid(Cosine(), Snr(), Nodes(1000))
    with pytest.raises(DifflabError, match="cannot be trained"):
        check_trainable(Eps(), hybrid)
    check_trainable(V(0.5), hybrid)


def test_loss_is_a_function_of_the_generator() -> None:
    x0 = torch.randn(8, 1, 4, 4, generator=generator(1))
    objective = Objective(Cosine(), SnrPlus(0.5), Uniform())
    first, again = (objective(Denoiser(Oracle(0.1), X0(), 0.5), x0, generator(3)).per_sample for _ in range(2))
    assert torch.equal(first, again)
