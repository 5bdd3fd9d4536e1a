"""Training times where the loss is large: importance sampling from the history of losses (iDDPM)."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from difflab.schedules import Schedule
from difflab.times import Times


class LossAware(nn.Module, Times):
    """Density in proportion to sqrt(E[loss^2]) of each of `levels` equal parts of time: iDDPM (2102.09672) eq. 18.

    The mean is over the last `history` losses of a part. Until all parts have as many, and always with the share
    `uniform`, times are uniform. `importance` is 1 / density, so the expected loss is that of uniform times; only
    its variance falls. The history is in buffers, so that it is saved and resumed with the run.
    """

    losses: Tensor
    seen: Tensor

    def __init__(self, levels: int = 100, history: int = 10, uniform: float = 0.001) -> None:
        super().__init__()
        self.levels, self.history, self.uniform = levels, history, uniform
        self.register_buffer("losses", torch.zeros(levels, history, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(levels, dtype=torch.long))

    def probabilities(self) -> Float64[Tensor, " levels"]:
        """Of each part of time; they sum to 1."""
        if (self.seen < self.history).any():
            return torch.full_like(self.losses[:, 0], 1 / self.levels)
        p = self.losses.square().mean(1).sqrt()
        p = p / p.sum() if p.sum() > 0 else torch.full_like(p, 1 / self.levels)
        return (1 - self.uniform) * p + self.uniform / self.levels

    def quantile(self, u: Float64[Tensor, " n"], schedule: Schedule) -> Float64[Tensor, " n"]:
        p = self.probabilities().to(u)
        upper = p.cumsum(0)
        part = torch.searchsorted(upper, u.contiguous()).clamp(max=self.levels - 1)
        inside = ((u - (upper - p)[part]) / p[part]).clamp(0, 1)
        return schedule.t_min + (part + inside) / self.levels * (schedule.t_max - schedule.t_min)

    def importance(self, t: Float64[Tensor, " n"], schedule: Schedule) -> Float64[Tensor, " n"]:
        return 1 / (self.levels * self.probabilities().to(t)[self._part(t, schedule)])

    @torch.no_grad()
    def observe(self, t: Float64[Tensor, " n"], loss: Float[Tensor, " n"], schedule: Schedule) -> None:
        for part, value in zip(self._part(t, schedule).tolist(), loss.double(), strict=True):
            self.losses[part, self.seen[part] % self.history] = value
            self.seen[part] += 1

    def _part(self, t: Float64[Tensor, " n"], schedule: Schedule) -> Tensor:
        share = (t - schedule.t_min) / (schedule.t_max - schedule.t_min)
        return (share * self.levels).long().clamp(0, self.levels - 1)
