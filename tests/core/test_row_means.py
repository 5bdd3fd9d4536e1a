"""Means over stretches of images, exact on rows whose truth is known."""

import pytest

from difflab.bands.row_means import cell_means, mean_over

X = "x0_mse/logsnr=-2..+0"


def rows(every: int, until: int, value: float = 1.0) -> list[dict[str, float]]:
    """Rows whose k-th is `value` * k."""
    return [{"nimg": nimg, "train/loss": 1.0, X: value * k} for k, nimg in enumerate(range(every, until + 1, every), 1)]


def test_rows_within_a_stretch_are_averaged() -> None:
    assert cell_means(rows(10, 60), X, 20) == {20: 1.5, 40: 3.5, 60: 5.5}


def test_row_across_an_edge_counts_in_both_by_how_much_it_covers() -> None:
    assert cell_means(rows(15, 60), X, 20) == {20: (15 * 1 + 5 * 2) / 20, 40: (10 * 2 + 10 * 3) / 20, 60: 3.75}


def test_cell_is_known_when_it_is_over() -> None:
    assert list(cell_means(rows(10, 50), X, 20)) == [20, 40]


def test_rows_that_end_with_a_step_fill_cells_that_do_not() -> None:
    due_every_20_in_steps_of_8 = [{"nimg": nimg, "train/loss": 1.0, X: 1.0} for nimg in (24, 40, 64, 80)]
    assert list(cell_means(due_every_20_in_steps_of_8, X, 20)) == [20, 40, 60, 80]


def test_row_of_much_more_than_the_stretch_says_nothing_about_it() -> None:
    assert cell_means(rows(30, 60), X, 20) == {}
    assert mean_over(rows(30, 60), X, 30, 60) == 2


def test_other_rows_neither_count_nor_shorten_a_row() -> None:
    mixed = sorted([*rows(10, 40), {"nimg": 5, "speed/img_per_s": 1.0}], key=lambda row: row["nimg"])
    assert cell_means(mixed, X, 20) == cell_means(rows(10, 40), X, 20)


def test_level_that_no_picture_fell_into_is_left_out() -> None:
    some = rows(10, 40)
    del some[0][X], some[2][X], some[3][X]
    assert cell_means(some, X, 20) == {20: 2.0}
    assert mean_over(some, X, 0, 40) == pytest.approx(2.0)
