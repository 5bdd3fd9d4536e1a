"""The Inception Score: how certain a classifier is of each sample, and how varied it finds them all.

Salimans et al. 2016 (https://arxiv.org/abs/1606.03498), section 4; what it can't say: Barratt & Sharma 2018
(https://arxiv.org/abs/1801.01973). It never sees the reference.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from difflab import rng
from difflab.errors import DifflabError
from difflab.metrics.extractor import Reading
from difflab.metrics.measure import LeftOut, Value, shortened
from difflab.metrics.protocol import Entry
from difflab.metrics.reference import Reference

A_SPLIT = 100
"""Pictures in the smallest split: a split of n can't score more than n, so small ones pull the figure down."""


@dataclass(frozen=True)
class InceptionScore:
    """inception_score: the mean over `splits` seeded parts of the samples, as published (then 10 of 5,000).

    The details hold the number of splits, fewer where they would be small, and their standard deviation, which papers
    print behind ±. The error is that of the mean over splits.

    Raises:
        DifflabError: no split.
    """

    splits: int = 10

    def __post_init__(self) -> None:
        if self.splits < 1:
            raise DifflabError(f"figures.inception_score.splits={self.splits}: 1 or more")

    def __call__(self, made: Reading, real: Reference, seed: int) -> list[Value]:
        if made.logits is None:
            raise LeftOut("inception_score", "the extractor is no classifier")
        order = torch.randperm(len(made.logits), generator=rng.generator(seed, "inception_score"))
        log_p = made.logits.double().log_softmax(1)[order]
        parts = [divergences(part) for part in log_p.tensor_split(max(1, min(self.splits, len(log_p) // A_SPLIT)))]
        scores = torch.stack([part.mean().exp() for part in parts])
        # exp(mean KL) moves by itself times the mean of what each sample adds (delta method). That a sample moves p(y)
        # as well has no effect of first order: the mean of the samples is where their mean KL is least.
        influence = torch.cat([score * (part - part.mean()) for score, part in zip(scores, parts, strict=True)])
        details: dict[str, Entry] = {
            "inception_score_splits": len(parts),
            "inception_score_splits_std": shortened(scores.std(correction=0).item()),
        }
        error = influence.std() / len(influence) ** 0.5
        return [Value("inception_score", scores.mean().item(), error.item(), details)]


def divergences(log_p: Float64[Tensor, "n k"]) -> Float64[Tensor, "n"]:
    """KL(p(y|x_i) || p(y)) of every sample, in nats, where p(y) is the mean over these samples."""
    marginal = log_p.exp().mean(0)
    return (log_p.exp() * (log_p - marginal.log())).nan_to_num().sum(1)  # p = 0 adds nothing
