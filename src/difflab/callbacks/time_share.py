"""Figures while training are kept within a share of the run's time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class TimeShare:
    """What figures have cost, in seconds, and whether another fits into `share` of the time."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.spent = 0.0
        self._cost: dict[str, float] = {}

    def allows(self, kind: str, elapsed: float, estimate: float) -> bool:
        """Whether one more of a kind fits, `elapsed` seconds into the run; `estimate` counts until one was measured."""
        return self.spent + self._cost.get(kind, estimate) <= self.share * elapsed

    @contextmanager
    def spending(self, kind: str) -> Iterator[None]:
        """Count what happens within as the cost of this kind."""
        start = time.monotonic()
        yield
        self._cost[kind] = time.monotonic() - start
        self.spent += self._cost[kind]
