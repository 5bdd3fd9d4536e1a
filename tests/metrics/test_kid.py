"""KID against its definition, and where its randomness comes from."""

import pytest
import torch

from difflab.errors import DifflabError
from difflab.metrics.kid import kid, mmd2


def sample(n: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def test_mmd2_is_its_definition_term_by_term():
    x, y = sample(6, 0), sample(6, 1, 0.5)

    def k(a, b):
        return (float(a @ b) / 5 + 1) ** 3

    pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
    within = sum(k(x[i], x[j]) + k(y[i], y[j]) for i, j in pairs) / 30
    across = sum(k(a, b) for a in x for b in y) / 36
    assert mmd2(x, y) == pytest.approx(within - 2 * across, rel=1e-12)


def test_unbiased_where_nothing_differs_and_positive_where_something_does():
    g = torch.Generator().manual_seed(0)
    same = kid(sample(4000, 0), sample(4000, 1), 100, 100, g)
    other = kid(sample(4000, 0), sample(4000, 1, 1.0), 100, 100, g)
    # 40 of the 100 subsets can be disjoint, the others repeat them.
    assert abs(same.mean) < 3 * same.std / 40**0.5
    assert other.mean > 3 * other.std


def test_a_function_of_its_generator_alone():
    x, y = sample(50, 0), sample(40, 1)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, again = (kid(x, y, 5, 20, torch.Generator().manual_seed(7)) for _ in range(2))
    assert first == again
    assert first != kid(x, y, 5, 20, torch.Generator().manual_seed(8))
    assert torch.equal(torch.get_rng_state(), before)


def test_subsets_are_cut_to_the_smaller_set_and_say_so():
    x, y = sample(30, 0), sample(20, 1)
    full = kid(x[:20], y, 1, 500, torch.Generator())
    assert full.subset_size == 20
    assert full.mean == pytest.approx(mmd2(x[:20], y), rel=1e-12)
    assert kid(x, y, 3, 500, torch.Generator()).subset_size == 20


@pytest.mark.parametrize(("n", "subsets"), [(1, 5), (10, 0)])
def test_too_little_is_refused(n, subsets):
    with pytest.raises(DifflabError, match="KID needs"):
        kid(sample(n, 0), sample(10, 1), subsets, 10, torch.Generator())


@pytest.mark.parametrize(("subsets", "size"), [(1, 60), (15, 25)])
def test_error_where_nothing_differs(subsets, size):
    """The effects of single samples vanish there and pairs are left, which a jackknife counts twice."""
    real = sample(60, 0)
    found = [kid(real, sample(60, 1 + i), subsets, size, torch.Generator().manual_seed(i)) for i in range(150)]
    spread = torch.tensor([one.mean for one in found]).std().item()
    rms = sum(one.error**2 for one in found) / len(found)
    assert rms**0.5 == pytest.approx(spread, rel=0.2)


def test_a_table_of_all_and_tables_of_subsets_agree():
    """One or the other is computed, whichever is less."""
    x, y = sample(50, 0), sample(40, 1)
    draws = torch.Generator().manual_seed(7)
    few = kid(x, y, 2, 10, draws)
    draws.manual_seed(7)
    picks = [[torch.randperm(len(side), generator=draws)[:10] for side in (x, y)] for _ in range(2)]
    assert few.mean == pytest.approx(sum(mmd2(x[i], y[j]) for i, j in picks) / 2, rel=1e-10)
    draws.manual_seed(7)
    many = kid(x, y, 40, 10, draws)
    draws.manual_seed(7)
    picks = [[torch.randperm(len(side), generator=draws)[:10] for side in (x, y)] for _ in range(40)]
    assert many.mean == pytest.approx(sum(mmd2(x[i], y[j]) for i, j in picks) / 40, rel=1e-10)
