"""Figures while training are kept within a share of the run's time."""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any


class TimeShare:
    """What each kind of evaluation has cost, in seconds, and whether another fits into `share` of the run's time.

    The kinds divide the share evenly: together, a cheap one that comes often would never leave a dear one its time.

    Args:
        share: of the time, for all kinds together; None: no limit.
    """

    def __init__(self, share: float | None, kinds: Collection[str]) -> None:
        self.share = share
        self.spent = dict.fromkeys(kinds, 0.0)
        self.times = dict.fromkeys(kinds, 0)
        self._last: dict[str, float] = {}

    @property
    def total(self) -> float:
        """Seconds that all kinds have taken, over all sessions of the run."""
        return sum(self.spent.values())

    def allows(self, kind: str, elapsed: float, estimate: float) -> bool:
        """Whether one more fits, `elapsed` seconds into the run; `estimate` is its cost until one was measured."""
        if self.share is None:
            return True
        cost = self._last.get(kind, estimate)
        return self.spent[kind] + cost <= self.share / len(self.spent) * (elapsed + cost)

    @contextmanager
    def spending(self, kind: str) -> Iterator[None]:
        """Count what happens within as the cost of one of this kind."""
        start = time.monotonic()
        yield
        self._last[kind] = time.monotonic() - start
        self.spent[kind] += self._last[kind]
        self.times[kind] += 1

    def state_dict(self) -> dict[str, Any]:
        return {"spent": self.spent, "times": self.times, "last": self._last}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from another session, which may have had other kinds."""
        for kind in self.spent.keys() & state["spent"].keys():
            self.spent[kind], self.times[kind] = state["spent"][kind], state["times"][kind]
        self._last = {kind: cost for kind, cost in state["last"].items() if kind in self.spent}
