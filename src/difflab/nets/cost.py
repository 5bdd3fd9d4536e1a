"""What a network costs: parameters and GFLOP."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from difflab.conditions.base import NOTHING, Told
from difflab.denoiser import Denoiser


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def gflop_per_image(net: nn.Module, shape: Sequence[int], told: Told = NOTHING) -> float:
    """10^9 floating point operations of one forward pass (a multiply-add is two), told of one row's condition."""
    device = next(net.parameters()).device
    level = torch.zeros(1, device=device)
    return gflop_of_call(lambda x: net(x, level) if told is NOTHING else net(x, level, told), shape, device)


def gflop_of(denoiser: Denoiser, shape: Sequence[int]) -> float:
    """Of its network, with a condition where it has one."""
    with torch.no_grad():
        told = denoiser.unconditional(torch.zeros(1, *shape, device=next(denoiser.parameters()).device))
    return gflop_per_image(denoiser.net, shape, told)


def gflop_of_call(call: Callable[[Tensor], Any], shape: Sequence[int], device: torch.device | str = "cpu") -> float:
    """10^9 floating point operations of a function of one picture."""
    # The counter knows no fused attention on a processor: as plain products it is counted everywhere alike.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call(torch.zeros(1, *shape, device=device))
    return counter.get_total_flops() / 1e9
