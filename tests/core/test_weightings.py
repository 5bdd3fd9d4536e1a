"""Weightings at known levels; that they are the papers' is in test_published_losses.py."""

import math

import pytest
import torch

from difflab.weightings import MinSnr, Sigmoid, SnrPlus, SoftMinSnr

LOGSNR = torch.tensor([-2.0, 0.0, 4.0]).double()


def test_min_snr_at_known_levels() -> None:
    assert MinSnr(5.0)(LOGSNR).tolist() == pytest.approx([math.exp(-2), 1, 5])


def test_snr_plus_is_the_lambda_of_edm() -> None:
    sigma, d = (-LOGSNR / 2).exp(), 0.5
    torch.testing.assert_close(SnrPlus(d)(LOGSNR), (sigma**2 + d**2) / (sigma * d) ** 2)


def test_sigmoid_is_soft_min_snr() -> None:
    torch.testing.assert_close(Sigmoid(-1.0)(LOGSNR), LOGSNR.exp() * (-1 - LOGSNR).sigmoid())
    torch.testing.assert_close(Sigmoid(-1.0)(LOGSNR), SoftMinSnr(math.exp(-1.0))(LOGSNR))
