"""Nearest neighbours against every distance taken one by one, on every block size."""

import pytest
import torch
from torch import Tensor

from difflab.errors import DifflabError
from difflab.metrics.neighbours import nearest
from difflab.rng import generator


def brute(views: list[Tensor], among: Tensor, k: int, excluding: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """By differences in float64, ties by the lower index."""
    all_of = torch.stack([(v.double()[:, None] - among.double()).square().sum(2).sqrt() for v in views]).amin(0)
    if excluding is not None:
        all_of[torch.arange(len(all_of)), excluding] = torch.inf
    found = all_of.sort(dim=1, stable=True)
    return found.values[:, :k], found.indices[:, :k]


def rows(n: int, d: int, name: str) -> Tensor:
    return torch.randn(n, d, generator=generator(0, name))


def levels(n: int, d: int, name: str, top: int = 256) -> Tensor:
    return torch.randint(0, top, (n, d), generator=generator(0, name), dtype=torch.uint8)


@pytest.mark.parametrize("block", [1, 3, 7, 64, 2048])
@pytest.mark.parametrize("make", [rows, levels])
def test_equal_brute_force_on_every_block_size(make, block):
    views, among = [make(23, 12, "a"), make(23, 12, "b")], make(57, 12, "c")
    excluding = torch.randint(0, 57, (23,), generator=generator(0, "left out"))
    for seen in (views[:1], views):
        for left_out in (None, excluding):
            found, exact = nearest(seen, among, 5, left_out, block), brute(seen, among, 5, left_out)
            assert torch.equal(found.rows, exact[1])
            torch.testing.assert_close(found.distance, exact[0], rtol=1e-14, atol=0)


@pytest.mark.parametrize("block", [2, 50, 2048])
def test_ties_go_to_the_earlier_row_however_many_there_are(block):
    among, queries = levels(200, 3, "few", top=2), levels(40, 3, "asked", top=2)  # eight different rows
    found, exact = nearest([queries], among, 4, block=block), brute([queries], among, 4)
    assert torch.equal(found.rows, exact[1])
    assert torch.equal(found.distance, exact[0])


def test_rounding_of_large_features_hides_no_neighbour():
    """|a|^2 + |b|^2 - 2 a.b keeps no digit of distances of 1e-6 between rows of length 1e5."""
    among, queries = (1e5 / 4 + 1e-6 * rows(n, 16, name).double() for n, name in ((300, "near"), (20, "asked")))
    found, exact = nearest([queries], among, 3), brute([queries], among, 3)
    naive = (queries.square().sum(1)[:, None] + among.square().sum(1) - 2 * queries @ among.T).argmin(1)
    assert not torch.equal(naive, exact[1][:, 0])
    assert torch.equal(found.rows, exact[1])


def test_a_row_is_at_zero_from_itself_and_not_its_own_other_neighbour():
    among = rows(30, 8, "a")
    itself, other = nearest([among], among, 1), nearest([among], among, 1, torch.arange(30))
    assert torch.equal(itself.rows[:, 0], torch.arange(30))
    assert (itself.distance == 0).all()
    assert (other.rows[:, 0] != torch.arange(30)).all()
    assert (other.distance > 0).all()


def test_more_neighbours_than_rows_are_all_of_them():
    found = nearest([rows(4, 3, "a")], rows(6, 3, "b"), 50)
    assert found.rows.sort(1).values.tolist() == [list(range(6))] * 4
    assert nearest([rows(4, 3, "a")], rows(6, 3, "b"), 50, torch.arange(4)).rows.shape == (4, 5)
    assert nearest([rows(0, 3, "a")], rows(6, 3, "b"), 2).distance.shape == (0, 2)


def test_nothing_to_be_near_to_is_refused():
    with pytest.raises(DifflabError, match="among 0 training pictures"):
        nearest([rows(1, 12, "a")], rows(0, 12, "b"), 1)
    with pytest.raises(DifflabError, match="among 1 training pictures"):
        nearest([rows(1, 12, "a")], rows(1, 12, "b"), 1, torch.zeros(1, dtype=torch.int64))
