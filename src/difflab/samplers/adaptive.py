"""An adaptive solver: its steps follow the denoiser, and the grid says where it begins, ends and is looked at."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from difflab.denoiser import Denoise, Pictures
from difflab.errors import DifflabError
from difflab.grids import Nodes
from difflab.samplers.base import Noise, Sampler, Step, euler


def adaptive(
    denoise: Denoise, x: Pictures, nodes: Nodes, noise: Noise, rtol: float = 1e-3, atol: float = 1e-3
) -> Iterator[Step]:
    """Dormand-Prince 5(4) to the last noisy node, then Euler's step to the clean one (2011.13456, section 4.3).

    On the circle z = x / r, r = sqrt(alpha^2 + sigma^2), the flow in the time s = log(sigma / (alpha + r)) is
    dz/ds = cos(theta) z - x0, where theta, the angle of (alpha, sigma), has cos(theta) = -tanh(s): the same for every
    path, finite at alpha = 0, and never stiff. Raises DifflabError where no step is short enough.
    """
    del noise  # deterministic
    if not len(nodes):
        return
    radius = torch.hypot(nodes.alpha, nodes.sigma)
    s = (nodes.sigma / (nodes.alpha + radius)).log()[nodes.sigma > 0]
    rows = [_solved_alone(denoise, row, s, rtol, atol) for row in (x / radius[0]).split(1)]
    states = torch.cat(rows, dim=1)
    for i, levels in enumerate(nodes.steps()):
        if levels[3] > 0:
            before, x = x, radius[i + 1] * states[i + 1]
            yield Step(x, _constant_guess(before, x, *levels))
        else:
            x0 = denoise(x, *levels[:2])
            yield Step(euler(x, x0, *levels), x0)


def is_adaptive(sampler: Sampler) -> bool:
    """Whether it is this one, with any tolerance."""
    return getattr(sampler, "func", sampler) is adaptive


def _solved_alone(
    denoise: Denoise, z: Float[Tensor, "1 *shape"], s: Float64[Tensor, " n"], rtol: float, atol: float
) -> Float[Tensor, "n 1 *shape"]:
    """The states at each s. One picture at a time, since a batch would share its steps, and sample i must not
    depend on the batch it is in."""
    from torchdiffeq import odeint

    def slope(s: Tensor, z: Tensor) -> Tensor:
        return -s.tanh() * z - denoise(z, -s.tanh(), 1 / s.cosh())

    if len(s) == 1:
        return z[None]
    try:
        states: Tensor = odeint(slope, z, s, rtol=rtol, atol=atol, method="dopri5")
    except AssertionError as error:  # torchdiffeq's word for a step of length 0
        raise DifflabError(
            f"sampler 'adaptive' finds no step short enough for rtol={rtol}, atol={atol}: the denoiser is not smooth "
            "or not finite; set greater ones, or sampler=heun"
        ) from error
    return states


def _constant_guess(
    x: Pictures, x_: Pictures, alpha: Tensor, sigma: Tensor, alpha_: Tensor, sigma_: Tensor
) -> Pictures:
    """The x0 with which Euler's step would lead from x to x_: what was guessed on the way, on average."""
    return (x_ - sigma_ / sigma * x) / (alpha_ - alpha * sigma_ / sigma)
