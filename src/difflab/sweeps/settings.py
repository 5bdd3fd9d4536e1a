"""The sweep's own settings (conf/multirun.yaml), and what a named sweep adds to the verb's words."""

import json
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from difflab.config.compose import compose
from difflab.errors import DifflabError

OWN = ("sweep", "launcher", "search")


def own_words(words: Sequence[str]) -> list[str]:
    """Those of the sweep itself."""
    return [word for word in words if _group(word) in OWN]


def verb_words(words: Sequence[str]) -> list[str]:
    """Those of the verb."""
    return [word for word in words if _group(word) not in OWN]


def compose_settings(verb: str, words: Sequence[str]) -> DictConfig:
    """conf/multirun.yaml with the sweep's own words.

    Raises DifflabError for a name that does not exist, and a named sweep of another verb.
    """
    cfg = compose("multirun", own_words(words))
    if cfg.sweep.verb not in (None, verb):
        name = name_of(words)
        raise DifflabError(f"sweep={name} is of another verb: write `difflab {cfg.sweep.verb} -m sweep={name} ...`")
    return cfg


def name_of(words: Sequence[str]) -> str | None:
    """The named sweep."""
    named = [word.partition("=")[2] for word in words if word.startswith("sweep=")]
    return named[-1] if named and named[-1] != "none" else None


def words_of(sweep: DictConfig) -> list[str]:
    """What a named sweep says to the verb: `over` and `with` as overrides. Words after them take their place."""
    over: dict[str, list[Any]] = OmegaConf.to_container(sweep.over)  # type: ignore[assignment]
    return [*sweep["with"], *(f"{key}={','.join(map(_text, values))}" for key, values in over.items())]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _group(word: str) -> str:
    return word.partition("=")[0].partition(".")[0]
