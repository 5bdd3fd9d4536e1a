"""Bits per dimension of a set of pictures: the sums over levels, points and probes, and their standard errors.

Row i draws from (seed, its index in the split) alone, so that it does not depend on the batch it is in.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from difflab.denoiser import Denoise
from difflab.metrics.dequantisation import Dequantise, even_draws
from difflab.metrics.divergence import Hutchinson, exact
from difflab.metrics.flow_likelihood import Ends, Solver, log_density
from difflab.metrics.level_draws import LevelDraws
from difflab.metrics.vlb import Bound
from difflab.progress import Bars, silent
from difflab.rng import generator

LOG_2 = 0.6931471805599453
Pictures = Float[Tensor, "n *shape"]


class Estimate(NamedTuple):
    """A mean over pictures, its standard error, and the part of this that is not the pictures' own (None: unknown)."""

    value: float
    error: float | None
    of_draws: float | None = None


@dataclass(frozen=True)
class Terms:
    """The bound of each picture: its prior, and the terms drawn. `bits` holds each with what it counts."""

    prior: Float64[Tensor, " n"]
    row: Int64[Tensor, " k"]  # which picture
    level: Int64[Tensor, " k"]
    bits: Float64[Tensor, " k"]

    def total(self) -> Float64[Tensor, " n"]:
        return self.prior.index_add(0, self.row, self.bits)

    def within(self, first: int, last: int) -> Float64[Tensor, " n"]:
        """The sum of a picture's terms of the levels first .. last - 1."""
        inside = (self.level >= first) & (self.level < last)
        return torch.zeros_like(self.prior).index_add(0, self.row[inside], self.bits[inside])


class _Term(NamedTuple):
    row: int
    level: int
    counts: float
    eps: Tensor


@torch.inference_mode()
def bound_terms(
    bound: Bound, draws: LevelDraws, x0: Pictures, indices: Sequence[int], seed: int, batch: int, bars: Bars = silent
) -> Terms:
    """The terms of each picture, `batch` evaluations at a time; a bar counts evaluations."""
    done: list[tuple[list[_Term], Tensor]] = []
    with bars("variational bound", len(x0) * draws.evaluations) as advance:
        for part in _batches(_terms(draws, x0, indices, seed), batch):
            rows, levels = (torch.tensor(a) for a in ([t.row for t in part], [t.level for t in part]))
            eps = torch.stack([t.eps for t in part]).to(x0)
            bits = bound.terms(x0[rows.to(x0.device)], eps, levels).cpu()
            done.append(([t._replace(eps=t.eps[:0]) for t in part], bits))
            advance(len(part))
    terms = [t for part, _ in done for t in part]
    counts = torch.tensor([t.counts for t in terms], dtype=torch.float64)
    row, level = torch.tensor([t.row for t in terms]), torch.tensor([t.level for t in terms])
    return Terms(bound.prior(x0).cpu(), row, level, counts * torch.cat([bits for _, bits in done]))


def _terms(draws: LevelDraws, x0: Pictures, indices: Sequence[int], seed: int) -> Iterator[_Term]:
    for row, index in enumerate(indices):
        own = generator(seed, "bound", index)
        for level, counts in zip(*(a.tolist() for a in draws(own)), strict=True):
            yield _Term(row, level, counts, torch.randn(x0.shape[1:], generator=own))


def _batches(terms: Iterator[_Term], size: int) -> Iterator[list[_Term]]:
    part: list[_Term] = []
    for term in terms:
        part.append(term)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


@dataclass(frozen=True)
class FlowDraws:
    """How pixels become points and how the trace is estimated.

    probes: vectors an evaluation; None: the exact trace. fixed: the same along the whole path.
    twice: so many pictures are drawn a second time, which tells the error of the draws from that of the pictures.
    """

    dequantise: Dequantise
    kind: str
    probes: int | None
    fixed: bool
    twice: int


class FlowBits(NamedTuple):
    first: Float64[Tensor, " n"]
    second: Float64[Tensor, " m"]  # of the first m pictures


def flow_bits(
    denoise: Denoise,
    ends: Ends,
    solve: Solver,
    draws: FlowDraws,
    x0: Pictures,
    indices: Sequence[int],
    seed: int,
    batch: int,
    nfe: int | None = None,
    bars: Bars = silent,
) -> FlowBits:
    """-log2 p of each picture a dimension, `batch` points at a time; a bar counts the `nfe` evaluations of each."""
    twice = min(draws.twice, len(x0))
    rows = [(row, 0) for row in range(len(x0))] + [(row, 1) for row in range(twice)]
    found = []
    with bars("probability flow", len(rows) * (nfe or 1)) as advance:

        def counted(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
            guess = denoise(x, alpha, sigma)
            if nfe is not None:
                advance(len(x))
            return guess

        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            own = [generator(seed, "flow", indices[row], draw) for row, draw in part]
            found.append(_bits(counted, ends, solve, draws, x0[[row for row, _ in part]], own).cpu())
            if nfe is None:
                advance(len(part))
    bits = torch.cat(found)
    return FlowBits(bits[: len(x0)], bits[len(x0) :])


def _bits(
    denoise: Denoise, ends: Ends, solve: Solver, draws: FlowDraws, x0: Pictures, own: Sequence[torch.Generator]
) -> Float64[Tensor, " n"]:
    """One batch, each row with the generator of its own."""
    y, log_q = draws.dequantise(x0, even_draws(x0.shape[1:], own, x0.device), ends.sigma_min)
    probes = exact if draws.probes is None else Hutchinson(own, draws.kind, draws.probes, draws.fixed)
    nats: Tensor = log_q - log_density(denoise, y, ends, probes, solve)
    return nats / x0[0].numel() / LOG_2


def over_pictures(bits: Float64[Tensor, " n"], again: Float64[Tensor, " m"] | None = None) -> Estimate:
    """The mean; its standard error over pictures, which holds all there is, and the part of it that `again` tells.

    `again` are independent draws of the first m pictures: half the squared difference is what dequantisation and probes
    add to the variance of one.
    """
    n = len(bits)
    error = (bits.var() / n).sqrt().item() if n > 1 else None
    if again is None or not len(again):
        return Estimate(bits.mean().item(), error)
    within = ((again - bits[: len(again)]).square().mean() / 2 / n).sqrt().item()
    return Estimate(bits.mean().item(), error, within)
