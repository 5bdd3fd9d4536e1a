"""A picture for other words: up to its noise under those for what it shows, down under those for what it becomes."""

from dataclasses import dataclass, replace
from typing import ClassVar

from difflab.errors import DifflabError
from difflab.generation import Generation
from difflab.grids import Nodes
from difflab.tasks.base import Edit, Inputs, Task, check_deterministic
from difflab.tasks.invert import inverting


@dataclass(frozen=True)
class Reword(Task):
    """Dual diffusion implicit bridges (2203.08382, algorithm 1) between two conditions of one run.

    source: the words for what the picture shows; "": none. strength: the share of the way that is gone up: 1 is all of
    it, less keeps more of the picture. The evaluations in edit.json are those of the way down.
    """

    source: str
    strength: int | float

    begins_as: ClassVar[str | None] = "its noise"

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1:
            raise DifflabError(
                f"task.strength={self.strength}: a share of the way up, above 0 (where nothing changes) to 1"
            )

    def count(self, n: int | None) -> int:
        if n is not None and n > 1:
            raise DifflabError(f"n={n}: task=reword has one result, since it draws no noise; leave n out")
        return 1

    def __call__(self, plain: Generation, given: Inputs) -> Edit:
        assert given.image is not None and given.under is not None
        check_deterministic(plain, "task=reword")
        first = len(plain.nodes) - max(1, round(self.strength * len(plain.nodes)))
        nodes = Nodes(plain.nodes.alpha[first:], plain.nodes.sigma[first:])
        way = inverting(replace(plain, nodes=nodes), given.image, given.under)
        return Edit(way, {"before": given.image})
