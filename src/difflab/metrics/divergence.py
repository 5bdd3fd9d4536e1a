"""The trace of a denoiser's Jacobian, by vector-Jacobian products: exact, or estimated without bias."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from difflab.denoiser import Denoise

Pictures = Float[Tensor, "b *shape"]
Probes = Callable[[Pictures], list[Pictures]]
"""Vectors v with E[v v^T] = 1 for each row, of the shape of the argument. Asked anew at every evaluation."""

KINDS = ("rademacher", "gaussian")


def guess_and_trace(
    denoise: Denoise, x: Pictures, alpha: Tensor, sigma: Tensor, probes: Probes
) -> tuple[Pictures, Float64[Tensor, " b"]]:
    """D(x) and the mean of v^T dD/dx v: Hutchinson's estimator, FFJORD (1810.01367) eq. 7."""
    with torch.inference_mode(False), torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        guess = denoise(x, alpha, sigma)
    vectors = probes(x)
    total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for i, v in enumerate(vectors):
        (product,) = torch.autograd.grad(guess, x, v, retain_graph=i + 1 < len(vectors))
        total += (product * v).flatten(1).double().sum(1)
    return guess.detach(), total / len(vectors)


def exact(like: Pictures) -> list[Pictures]:
    """The axes, each as long as makes the mean of their products the trace. One product a pixel: for small pictures."""
    flat = like.detach().flatten(1)
    size = flat.shape[1]
    axes = torch.eye(size, dtype=flat.dtype, device=flat.device) * size**0.5
    return [axis.expand_as(flat).reshape(like.shape) for axis in axes]


class Hutchinson:
    """`count` random vectors whose row i comes from generator i: +-1 (rademacher) or normal (gaussian).

    Fresh ones at every evaluation average out along the path; an adaptive solver needs a smooth slope, so `fixed` ones.
    """

    def __init__(self, generators: Sequence[torch.Generator], kind: str, count: int, fixed: bool = False) -> None:
        self._generators, self._kind, self._count, self._fixed = generators, kind, count, fixed
        self._drawn: list[Pictures] | None = None

    def __call__(self, like: Pictures) -> list[Pictures]:
        if self._drawn is None or not self._fixed:
            self._drawn = [self._draw(like) for _ in range(self._count)]
        return self._drawn

    def _draw(self, like: Pictures) -> Pictures:
        shape = like.shape[1:]
        if self._kind == "gaussian":
            rows = [torch.randn(shape, generator=g) for g in self._generators]
        else:
            rows = [torch.randint(0, 2, shape, generator=g) * 2.0 - 1 for g in self._generators]
        return torch.stack(rows).to(like)
