"""What a network costs: parameters and GFLOP."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def gflop_per_image(net: nn.Module, shape: Sequence[int]) -> float:
    """10^9 floating point operations of one forward pass (a multiply-add is two)."""
    device = next(net.parameters()).device
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, *shape, device=device), torch.zeros(1, device=device))
    return counter.get_total_flops() / 1e9
