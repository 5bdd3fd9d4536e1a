"""The Frechet distance against closed forms and against the textbook's matrix square root."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from difflab.errors import DifflabError
from difflab.metrics.frechet import distance, estimate
from difflab.metrics.gaussian import Gaussian


def sample(n: int, d: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=g, dtype=torch.float64)
    return torch.randn(n, d, generator=g, dtype=torch.float64) @ mix + shift


def textbook(a: torch.Tensor, b: torch.Tensor) -> float:
    x, y = a.numpy(), b.numpy()
    c1, c2 = np.cov(x.T), np.cov(y.T)
    with np.errstate(all="ignore"):
        root = sqrtm(c1 @ c2).real
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(c1 + c2 - 2 * root))


def test_diagonal_gaussians_have_a_closed_form():
    m1, m2 = torch.tensor([1.0, -2.0, 0.5]).double(), torch.tensor([0.0, 1.0, 0.5]).double()
    s1, s2 = torch.tensor([1.0, 2.0, 0.0]).double(), torch.tensor([3.0, 0.5, 1e-3]).double()
    exact = ((m1 - m2) ** 2).sum() + ((s1 - s2) ** 2).sum()
    p, q = Gaussian.of_moments(m1, (s1**2).diag()), Gaussian.of_moments(m2, (s2**2).diag())
    assert distance(p, q) == pytest.approx(exact.item(), rel=1e-12)


def test_rotated_gaussians_have_a_closed_form():
    """Covariances that commute: the distance is between the roots of the eigenvalues, in any basis."""
    basis = torch.linalg.qr(sample(6, 6, 0)).Q
    s1, s2 = torch.linspace(0.1, 3, 6).double(), torch.linspace(2, 0.2, 6).double()
    zero = torch.zeros(6, dtype=torch.float64)
    p, q = (Gaussian.of_moments(zero, basis @ (s**2).diag() @ basis.T) for s in (s1, s2))
    assert distance(p, q) == pytest.approx(((s1 - s2) ** 2).sum().item(), rel=1e-12)


def test_samples_of_known_gaussians_approach_their_distance():
    a = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    b = 2 * a.flip(0) + 1
    assert distance(Gaussian.of_features(a), Gaussian.of_features(b)) == pytest.approx(2 + 2, rel=0.02)


@pytest.mark.parametrize(("n", "m"), [(100, 80), (300, 20), (12, 9), (16, 17), (2, 2)])
def test_agrees_with_the_textbook_on_both_sides_of_n_equals_d(n, m):
    a, b = sample(n, 16, 1), sample(m, 16, 2, shift=0.3)
    got = distance(Gaussian.of_features(a), Gaussian.of_features(b))
    # sqrtm of a singular matrix is good to the root of rounding only.
    assert got == pytest.approx(textbook(a, b), rel=1e-9 if min(n, m) > 16 else 1e-5)


@pytest.mark.parametrize("n", [10, 40])
def test_features_and_moments_give_the_same_distance(n):
    a, b = sample(n, 16, 1), Gaussian.of_features(sample(50, 16, 2))
    by_moments = Gaussian.of_moments(a.mean(0), torch.cov(a.T))
    assert distance(by_moments, b) == pytest.approx(distance(Gaussian.of_features(a), b), rel=1e-7)


@pytest.mark.parametrize("n", [2, 10, 40])
def test_zero_on_itself_and_never_below(n):
    a = sample(n, 16, 3)
    p, q = Gaussian.of_features(a), Gaussian.of_moments(a.mean(0), torch.cov(a.T))
    for other in (p, q):
        assert 0 <= distance(p, other) <= 1e-7 * p.root.square().sum().item()


def test_symmetric():
    p, q = Gaussian.of_features(sample(30, 8, 1)), Gaussian.of_features(sample(5, 8, 2))
    assert distance(p, q) == pytest.approx(distance(q, p), rel=1e-12)


def test_one_picture_has_no_covariance():
    with pytest.raises(DifflabError, match=r"needs 2 pictures a side, here 1"):
        Gaussian.of_features(sample(1, 4, 0))


@pytest.mark.parametrize(("n", "m"), [(100, 80), (12, 90), (90, 12), (16, 17), (2, 2)])
def test_the_measured_value_is_the_distance(n, m):
    """From eigenvectors of a square, on both sides of n = d, with features that one side or the other never has."""
    a, b = sample(n, 16, 1), sample(m, 16, 2, shift=0.3)
    for absent in (), (a,), (b,), (a, b):
        for x in absent:
            x[:, :3] = 0.5
        p, q = Gaussian.of_features(b), Gaussian.of_features(a)
        tolerance = 1e-8 * (p.root.square().sum() + q.root.square().sum()).item()
        assert estimate(p, a).value == pytest.approx(distance(p, q), abs=tolerance)
        moments = Gaussian.of_moments(b.mean(0), torch.cov(b.T))
        assert estimate(moments, a).value == pytest.approx(distance(p, q), abs=10 * tolerance)


def reweighted(x: torch.Tensor, i: int, more: float) -> Gaussian:
    """The Gaussian of rows with `more` weight on row i and less on all of them."""
    n = len(x)
    w = torch.full((n, 1), -more / n, dtype=torch.float64)
    w[i] += more
    mean = x.mean(0) + (w * x).sum(0)
    return Gaussian(mean, (w + 1 / (n - 1)).sqrt() * (x - x.mean(0)))


@pytest.mark.parametrize("n", [40, 6])
def test_influence_is_the_derivative_in_a_samples_weight(n):
    x, p = sample(n, 10, 1), Gaussian.of_features(sample(50, 10, 2, shift=0.3))
    slopes = [
        (distance(p, reweighted(x, i, h := 1e-5)) - distance(p, reweighted(x, i, -h))) / (2 * h) for i in range(n)
    ]
    centred = [slope - sum(slopes) / n for slope in slopes]
    assert estimate(p, x).influence.tolist() == pytest.approx(centred, abs=1e-5 * max(map(abs, slopes)))
