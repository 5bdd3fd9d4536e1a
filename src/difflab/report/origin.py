"""Where a configuration comes from: its experiment as it is shipped, and what was overridden."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from difflab.config.compose import compose
from difflab.config.tree import groups_of, leaves
from difflab.errors import DifflabError
from difflab.files import conf_dir

# What belongs to this run alone and says nothing about the model.
OF_THE_RUN = ("runs", "resume", "run_dir", "config", "logger")
ABSENT = "(absent)"


@dataclass(frozen=True)
class Change:
    """A setting that is not as shipped."""

    key: str
    shipped: Any
    here: Any


@dataclass(frozen=True)
class Origin:
    """`changes` is None where there is nothing to compare with, and `note` says why."""

    changes: list[Change] | None
    command: str
    note: str = ""


def origin(cfg: DictConfig, folder: Path) -> Origin:
    """The differences to the experiment that a run names, and the command that trains it again."""
    again = f"difflab train config={shlex.quote(str(folder / 'config.yaml'))}"
    words = [f"experiment={cfg.name}"]
    try:
        shipped = compose("train", words)
        words += _options(cfg, shipped)
        base = compose("train", words) if len(words) > 1 else shipped
    except DifflabError as error:
        return Origin(None, again, str(error))
    own = [change for change in changes(cfg, base) if not _follows(change)]
    words += [f"{change.key}={in_hydra(change.here)}" for change in own]
    command = shlex.join(["difflab", "train", *words]) if _leads_to(base, own, cfg) else again
    return Origin(changes(cfg, shipped), command)


def changes(cfg: DictConfig, shipped: DictConfig) -> list[Change]:
    """Every leaf that differs, in the order of the configuration."""
    a, b = _plain(shipped), _plain(cfg)
    pairs = ((key, a.get(key, ABSENT), b.get(key, ABSENT)) for key in dict.fromkeys([*b, *a]))
    return [Change(key, x, y) for key, x, y in pairs if x != y]


def _plain(cfg: DictConfig) -> dict[str, Any]:
    found = {key: value for key, value in leaves(cfg).items() if key.split(".")[0] not in OF_THE_RUN}
    return {key: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for key, v in found.items()}


def _follows(change: Change) -> bool:
    """A budget in images takes the place of minutes, so that they need not be named."""
    return change.key == "train.minutes" and change.here is None


def _options(cfg: DictConfig, shipped: DictConfig) -> list[str]:
    """`schedule=linear_vp` for each group that was built from another option than the experiment's."""
    groups = [g for g in groups_of("train") if g not in ("experiment", *OF_THE_RUN) and g in cfg and g in shipped]
    other = [g for g in groups if cfg[g].keys() != shipped[g].keys() or _kind(cfg[g]) != _kind(shipped[g])]
    found = ((group, _nearest(group, cfg[group])) for group in other)
    return [f"{group}={option}" for group, option in found if option]


def _kind(node: Mapping[Any, Any] | DictConfig) -> Any:
    return node.get("_target_", node.get("kind", node.get("name")))


def _nearest(group: str, node: DictConfig) -> str | None:
    """The option with the same settings, most of them with the same values."""
    options = {file.stem: _raw(file) for file in sorted((conf_dir() / group).glob("*.yaml"))}
    fitting = {n: o for n, o in options.items() if o.keys() == node.keys() and _kind(o) == _kind(node)}
    agreeing = {name: sum(node[key] == value for key, value in raw.items()) for name, raw in fitting.items()}
    return max(agreeing, key=lambda name: agreeing[name], default=None)


def _raw(file: Path) -> dict[str, Any]:
    """An option's settings, interpolations as they are written."""
    found: Any = OmegaConf.to_container(OmegaConf.load(file))
    return found or {}


def in_hydra(value: Any) -> str:
    """A value as an override writes it."""
    if isinstance(value, str):
        return value if re.fullmatch(r"[\w./~$+-]+", value) else json.dumps(value)
    if isinstance(value, list):
        return f"[{','.join(in_hydra(each) for each in value)}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{in_hydra(each)}" for key, each in value.items()) + "}"
    return json.dumps(value)


def _leads_to(base: DictConfig, own: list[Change], cfg: DictConfig) -> bool:
    """Whether the changes, made to `base`, give the configuration: not so where a setting was added or taken away."""
    made = base.copy()
    for change in own:
        if ABSENT in (change.shipped, change.here):
            return False
        OmegaConf.update(made, change.key, change.here)
    return all(_follows(change) for change in changes(cfg, made))
