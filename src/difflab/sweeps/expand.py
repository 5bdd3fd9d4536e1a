"""From overrides with several values to jobs with one each, by Hydra's own grammar and order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from difflab.config.compose import quoted
from difflab.errors import DifflabError
from difflab.files import conf_dir

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

SINGLE = ("resume", "config", "run_dir")


@dataclass(frozen=True)
class Words:
    """The words of a job: all of them for the verb, and what tells the job from the others."""

    all: list[str]
    swept: dict[str, str]


def parse(words: Sequence[str]) -> list["Override"]:
    """Hydra's reading of the words; glob(...) knows the options of its group.

    Raises DifflabError for one that can't be read, and for a key that only a single run has.
    """
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    with hydra.initialize_config_dir(str(conf_dir().resolve()), version_base="1.3"):
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        try:
            overrides = parser.parse_overrides([quoted(word) for word in words])
        except HydraException as error:
            raise DifflabError(f"{' '.join(str(error).split())}: write key=value, or key=value,value") from error
    for override in overrides:
        if override.key_or_group in SINGLE:
            raise DifflabError(
                f"{override.input_line}: a sweep names the directories of its runs; leave it out (the same command "
                "again goes on with the sweep)"
            )
    return overrides


def swept_keys(overrides: Sequence["Override"]) -> list[str]:
    """The keys with several values, or an interval of them, in their order."""
    last = {override.get_key_element(): override for override in overrides}
    return [key for key, override in last.items() if override.is_sweep_override()]


def expand(overrides: Sequence["Override"]) -> list[Words]:
    """A job for each combination, the last key moving fastest; of two words for one key the later counts.

    Raises DifflabError for an interval, whose values can't be counted.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    for override in overrides:
        if override.is_interval_sweep():
            raise DifflabError(
                f"{override.input_line}: an interval has no list of values: add search=optuna, or name values "
                f"({override.key_or_group}=a,b or range(start,stop,step))"
            )
    swept = swept_keys(overrides)
    (jobs,) = BasicSweeper.split_arguments(list(overrides), max_batch_size=None)
    return [Words(job, {key: value for key, value in map(_split, job) if key in swept}) for job in jobs]


def _split(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    return key, value
