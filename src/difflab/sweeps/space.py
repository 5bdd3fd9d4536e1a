"""What a search may try: Hydra's intervals, ranges and choices as Optuna's distributions."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from difflab.errors import DifflabError
from difflab.sweeps.expand import Words

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

DIGITS = 6  # of a number that is tried: what is trained is what can be read


class Space:
    """The words that are the same in all trials, and a distribution for each key that is searched.

    Raises DifflabError where there is nothing to search, and for a range that Optuna can't draw from.
    """

    def __init__(self, overrides: Sequence["Override"]) -> None:
        last = {override.get_key_element(): override for override in overrides}
        self.fixed = {k: o.get_value_element_as_str() for k, o in last.items() if not o.is_sweep_override()}
        self.searched = {key: distribution(o) for key, o in last.items() if o.is_sweep_override()}
        if not self.searched:
            raise DifflabError(
                "search=optuna has nothing to search: give a key an interval or choices, as in "
                "'optim.lr=tag(log,interval(1e-4,1e-2))' or prediction=eps,v"
            )

    def words(self, values: Mapping[str, Any]) -> Words:
        """Of the trial with these values."""
        swept = {key: text(value) for key, value in values.items()}
        return Words([f"{key}={value}" for key, value in (self.fixed | swept).items()], swept)

    def corners(self) -> list[Words]:
        """The trials of all the first values, and of all the last."""
        return [self.words({key: _end(d, last) for key, d in self.searched.items()}) for last in (False, True)]


def distribution(override: "Override") -> Any:
    """tag(log, ...) makes it logarithmic; an interval is of whole numbers where it is int(interval(...))."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    sweep: Any = override.value()
    log = "log" in sweep.tags
    if override.is_choice_sweep():
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    if override.is_interval_sweep():
        whole = isinstance(sweep.start, int) and isinstance(sweep.end, int)
        kind = IntDistribution if whole else FloatDistribution
        return _built(override, kind, sweep.start, sweep.end, log=log)
    values = sorted(sweep.range())
    if log:
        raise DifflabError(f"{override.input_line}: a range has even steps; write tag(log,interval(a,b)) instead")
    kind = IntDistribution if isinstance(values[0], int) else FloatDistribution
    return _built(override, kind, values[0], values[-1], step=abs(sweep.step))


def _built(override: "Override", kind: Any, low: float, high: float, **more: Any) -> Any:
    try:
        return kind(low, high, **more)
    except ValueError as error:
        raise DifflabError(f"{override.input_line}: {' '.join(str(error).split())}") from error


def text(value: Any) -> str:
    """A value as a word of the command line."""
    return str(float(f"{value:.{DIGITS}g}")) if isinstance(value, float) else str(value)


def _end(d: Any, last: bool) -> Any:
    ends = d.choices if hasattr(d, "choices") else (d.low, d.high)
    return ends[-1 if last else 0]
