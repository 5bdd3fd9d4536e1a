"""How many steps a number of evaluations of the network (NFE) pays for: found by counting, not by a table."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from difflab.errors import DifflabError

Evaluations = Callable[[int], int | None]
"""What a picture costs in so many steps of a grid; None where the denoiser decides. Raises DifflabError for a number
of steps that the grid can't have."""


def most_steps(evaluations: Evaluations, nfe: int, who: str) -> int:
    """A number of steps that costs at most `nfe` evaluations, while one more would cost more, or can't be had.

    `who` samples, for messages. Raises DifflabError where the fewest steps cost more, and for a sampler that is not
    bound to its steps.
    """
    cost = _Cost(evaluations, nfe, who)
    if cost(nfe) <= nfe:  # a step costs one evaluation at least
        return nfe
    few, many = _fewest(cost), nfe
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (middle, many) if cost(middle) <= nfe else (few, middle)
    return few


@dataclass
class _Cost:
    """Evaluations in so many steps, infinite where the grid can't have them: `refusal` says why."""

    evaluations: Evaluations
    nfe: int
    who: str
    refusal: DifflabError | None = None

    def __call__(self, steps: int) -> int | float:
        try:
            cost = self.evaluations(steps)
        except DifflabError as error:
            self.refusal = error
            return math.inf
        if cost is None:
            raise DifflabError(
                f"nfe={self.nfe}: {self.who} takes as many evaluations as each picture needs; set sampler.rtol and "
                "sampler.atol, or name another sampler"
            )
        return cost


def _fewest(cost: _Cost) -> int:
    """The fewest steps that the grid can have. Raises DifflabError where they cost too much, or it can have none."""
    steps = next((steps for steps in range(1, cost.nfe + 1) if math.isfinite(cost(steps))), None)
    if steps is None:
        raise DifflabError(f"nfe={cost.nfe}: {cost.refusal}")
    if cost(steps) > cost.nfe:
        raise DifflabError(
            f"nfe={cost.nfe} is too small: {cost.who} takes {cost(steps)} in its fewest steps, {steps}: raise nfe"
        )
    return steps
