"""Batch-norms of frozen networks, folded into the convolutions before them."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float32
from torch import Tensor

EPS = 1e-3  # TensorFlow's


class Folded(NamedTuple):
    weight: Float32[Tensor, "o i h w"]
    bias: Float32[Tensor, "o"]


def folded(state: Mapping[str, Tensor], conv: str, norm: str) -> Folded:
    """The convolution `conv` and the batch-norm `norm` of a state dict as one convolution.

    Raises KeyError where the state dict has them not.
    """
    scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + EPS).sqrt()
    weight = state[f"{conv}.weight"] * scale[:, None, None, None]
    bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    return Folded(weight.contiguous(memory_format=torch.channels_last), bias)
