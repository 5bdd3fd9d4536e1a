"""What Hydra composes of conf/: once for the same options, since a composition takes a fifth of a second.

A command asks for two or three with the same options, the jobs of a sweep for hundreds. Values that are set have no say
in which files are read: they are put into a copy, as Hydra itself does it.
"""

import copy
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError

from difflab.config.tree import is_group
from difflab.files import conf_dir

_offered: dict[str, Any] = {}


def composed(verb: str, overrides: list[str]) -> DictConfig:
    """A configuration to be changed at will, struct mode on.

    Raises what Hydra and OmegaConf raise: HydraException, OmegaConfBaseException.
    """
    options = [o for o in overrides if is_group(o)]
    values = [_parsed(o) for o in overrides if not is_group(o)]
    if not all(_sets(value) for value in values):
        return _by_hydra(verb, overrides)
    cfg = copy.deepcopy(_remembered(verb, tuple(options), conf_dir(), json.dumps(_offered)))
    for value in values:
        _set(cfg, value)
    return cfg


def offer(nodes: Mapping[str, Any], option: str) -> None:
    """Make `nodes` (plain values by group) the option of that name in their groups, beside those of conf/."""
    from hydra.core.config_store import ConfigStore

    for group, node in nodes.items():
        ConfigStore.instance().store(group=group, name=option, node=node)
        _offered[f"{group}={option}"] = node


def _parsed(override: str) -> Override:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_override(override)


def _sets(override: Override) -> bool:
    """Whether it is a plain key=value: what adds, deletes, sweeps or is meant for Hydra is left to Hydra."""
    plain = not (override.is_add() or override.is_force_add() or override.is_delete() or override.is_sweep_override())
    return plain and not override.is_hydra_override()


def _set(cfg: DictConfig, override: Override) -> None:
    try:
        OmegaConf.update(cfg, override.key_or_group, override.value(), merge=True)
    except (ConfigAttributeError, ConfigKeyError) as error:
        raise ConfigCompositionException(f"Could not override '{override.key_or_group}'") from error


@lru_cache(maxsize=64)
def _remembered(verb: str, options: tuple[str, ...], conf: Path, offered: str) -> DictConfig:
    return _by_hydra(verb, list(options))


def _by_hydra(verb: str, overrides: list[str]) -> DictConfig:
    import hydra

    with hydra.initialize_config_dir(str(conf_dir().resolve()), version_base="1.3"):
        cfg = hydra.compose(verb, overrides, return_hydra_config=True)
    choices = cfg.hydra.runtime.choices
    OmegaConf.set_struct(cfg, False)
    del cfg["hydra"]
    if "name" in cfg.keys():  # noqa: SIM118 - a missing value is a key, but not `in`
        cfg.name = choices.get("experiment") or "unnamed"
    OmegaConf.set_struct(cfg, True)
    return cfg
