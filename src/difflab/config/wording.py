"""What is wrong with words of the command line, said so that it can be mended."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from omegaconf import DictConfig

from difflab.config.tree import is_group, leaves
from difflab.errors import DifflabError, near
from difflab.files import conf_dir

# Settings with a number that null switches off.
MAY_BE_NULL = (
    "train.minutes", "train.grad_clip", "ema.rampup", "data.sigma_data", "callbacks.samples.every_nimg",
    "callbacks.evaluation.proxy.every_nimg", "callbacks.evaluation.full.every_nimg", "callbacks.best.figure",
    "callbacks.evaluation.share",
    "callbacks.throughput.every_nimg", "callbacks.checkpoint.every_nimg",
    "metrics.reference_n", "grid.end", "vlb.levels_per_picture", "vlb.sigma_min", "ode.probes", "ode.sigma_min",
)  # fmt: skip


def check_form(overrides: list[str]) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    for override in overrides:
        if override.startswith("~") and override != "~experiment" and is_group(override):
            raise DifflabError(f"'{override}' takes away what is needed: choose an option, as in {override[1:]}=OPTION")
        try:
            OverridesParser.create().parse_override(override)
        except HydraException as error:
            raise DifflabError(
                f"'{override}' is not an override: write key=value, such as train.seed=1 or sampler=heun "
                "(quote a value with special characters: 'out=\"my folder\"')"
            ) from error


def readable(verb: str, error: Exception, known: Callable[[], Iterable[str]]) -> DifflabError:
    """Hydra's error as a line that helps; `known`: the settings that there are."""
    text = str(error)
    if found := re.search(r"Could not find '([^']+)'", text):
        group, _, option = found[1].rpartition("/")
        options = sorted(p.stem for p in (conf_dir() / group).glob("*.yaml"))
        return DifflabError(
            f"{group}={option}: there is no such {group}{near(option, options)} (it is one of {', '.join(options)})"
        )
    found = re.search(r"Could not override '([^']+)'", text) or re.search(r"Key '([^']+)' is not in struct", text)
    if found:
        command = "difflab train -m" if verb == "multirun" else f"difflab {verb}"
        hint = f"{near(found[1], known())} (`{command} --cfg` lists them)"
        return DifflabError(f"'{found[1]}' is not a setting of {command}{hint}")
    return DifflabError(" ".join(text.split()))


def check_types(before: DictConfig, after: DictConfig) -> None:
    """A value keeps the type of its default: YAML alone would take train.seed=abc."""
    defaults = leaves(before)
    for key, value in leaves(after).items():
        default = defaults.get(key)
        if default is None or (value is None and key in MAY_BE_NULL) or _same_type(default, value):
            continue
        word = "null" if value is None else value
        raise DifflabError(f"{key}={word}: '{word}' is {_kind(value)}, but {key} is {_kind(default)} such as {default}")


def _same_type(default: Any, value: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    return isinstance(value, type(default))


def _kind(value: Any) -> str:
    names = {type(None): "no value", bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    return names.get(type(value), "a list")
