"""The swept key that figures are drawn against, and where its values lie."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from difflab.errors import DifflabError
from difflab.metrics.protocol import Figure
from difflab.sweeps.expand import expand
from difflab.sweeps.folder import Sweep

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override


def axis_of(sweep: Sweep, overrides: "Sequence[Override]") -> str | None:
    """The one that the named sweep says, else the last swept key of which two values are numbers.

    Raises DifflabError where the named one is not swept any more.
    """
    if sweep.x is not None and sweep.x not in sweep.swept:
        raise DifflabError(
            f"sweep={sweep.name} draws figures against {sweep.x}, of which there is one value: name more"
        )
    if sweep.x is not None:
        return sweep.x
    jobs = [words.swept for words in expand(overrides)]
    numeric = [key for key in sweep.swept if sum(number(v) is not None for v in {job[key] for job in jobs}) > 1]
    return numeric[-1] if numeric else None


def number(word: str) -> float | None:
    """`20` as 20 and `power:0.08` as 0.08; None for what has no place on an axis, such as `ema`."""
    try:
        return float(word.rpartition(":")[2])
    except ValueError:
        return None


def place(x: str, word: str, figure: Figure) -> float | None:
    """Where a figure lies: at the evaluations that its samples have taken, not at those they might have."""
    nfe = figure.protocol.get("nfe")
    return float(nfe) if x == "nfe" and isinstance(nfe, int) else number(word)
