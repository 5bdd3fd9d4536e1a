"""From levels of pixels to points, since a flow knows densities only: each level is spread over its bin.

The bin of a pixel is 2/255 wide, with the value that the model was trained on in its middle. Then
-log P(level) <= E[-log p(y) + log q(y | level)] for any q within the bin: Theis et al. (1511.01844) section 3.1,
Flow++ (1902.00275) eq. 12.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from difflab.metrics.vlb import HALF_LEVEL


class Spread(NamedTuple):
    y: Float[Tensor, "b *shape"]
    log_q: Float64[Tensor, " b"]  # of the whole picture, in nats


Dequantise = Callable[[Float[Tensor, "b *shape"], Float64[Tensor, "b *shape"], float], Spread]
"""(x0, even draws from 0 to 1, sigma/alpha of the first level) -> points in the bins of x0."""


def uniform(x0: Float[Tensor, "b *shape"], u: Float64[Tensor, "b *shape"], sigma_hat: int | float) -> Spread:
    """Anywhere in the bin: what papers mean unless they say otherwise."""
    del sigma_hat
    pixels = x0[0].numel()
    log_q = torch.full((len(x0),), -pixels * math.log(2 * HALF_LEVEL), dtype=torch.float64, device=x0.device)
    return Spread((x0 + (2 * u - 1) * HALF_LEVEL).to(x0), log_q)


def truncated_normal(x0: Float[Tensor, "b *shape"], u: Float64[Tensor, "b *shape"], sigma_hat: int | float) -> Spread:
    """The model's own noise of the first level, cut to the bin: i-DODE (2305.03935) section 4.2.

    What the network sees there is then what it was trained on, where even draws are another kind of noise.
    """
    edge = torch.tensor(HALF_LEVEL / sigma_hat, dtype=torch.float64)
    below, inside = torch.special.ndtr(-edge), torch.special.ndtr(edge) - torch.special.ndtr(-edge)
    e = torch.special.ndtri(below + u * inside).clamp(-edge, edge)
    log_q = -(e**2) / 2 - math.log(math.sqrt(2 * math.pi) * sigma_hat) - inside.log()
    return Spread((x0 + sigma_hat * e).to(x0), log_q.flatten(1).sum(1))


KINDS: dict[str, Dequantise] = {"uniform": uniform, "truncated_normal": truncated_normal}


def even_draws(
    shape: Sequence[int], generators: Sequence[torch.Generator], device: torch.device
) -> Float64[Tensor, "b *shape"]:
    """Row i from generator i, drawn on the processor."""
    rows = [torch.rand(tuple(shape), generator=g, dtype=torch.float64) for g in generators]
    return torch.stack(rows).to(device)
