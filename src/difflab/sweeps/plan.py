"""From the words of the command line to a sweep: what is swept, and the folder where it lies."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from difflab.config.compose import compose
from difflab.runs.directory import user_path
from difflab.sweeps.expand import parse, swept_keys
from difflab.sweeps.folder import Sweep, label
from difflab.sweeps.settings import name_of, verb_words, words_of

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

# Of a search: how far it goes does not make it another one, and where jobs run makes none.
_DO_NOT_COUNT = ("search.trials=", "launcher")


def plan(verb: str, words: Sequence[str], settings: DictConfig) -> tuple[Sweep, list["Override"]]:
    """The sweep that these words ask for, without jobs yet, and what they say to the verb. Nothing is made."""
    said = [*words_of(settings.sweep), *verb_words(words)]
    overrides = parse(said)
    swept, source = swept_keys(overrides), _value(overrides, "from")
    experiment = _experiment(verb, overrides)
    about = Path(source).name if source else experiment
    own = [word for word in words if word.startswith("search") and not word.startswith(_DO_NOT_COUNT)]
    folder = label(verb, name_of(words), about, [*said, *own], swept)
    sweep = Sweep(
        path=user_path(_value(overrides, "runs") or "runs") / "sweeps" / folder,
        verb=verb,
        name=name_of(words),
        experiment=experiment,
        source=source,
        overrides=[*words],
        swept=swept,
        x=settings.sweep.x,
        question=settings.sweep.question,
    )
    return sweep, overrides


def _experiment(verb: str, overrides: Sequence["Override"]) -> str | None:
    """The one of all jobs; None where it is swept, or the verb has none."""
    if verb != "train" or "experiment" in swept_keys(overrides):
        return None
    return _value(overrides, "experiment") or str(compose(verb, []).name)


def _value(overrides: Sequence["Override"], key: str) -> str | None:
    """What is said of a key, if it is one value."""
    last = {override.get_key_element(): override for override in overrides}
    if key not in last or last[key].is_sweep_override():
        return None
    value = last[key].value()
    return None if value is None else str(value)
