"""What conf/ holds, and a configuration as its dotted keys."""

from contextlib import suppress
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue

from difflab.files import conf_dir


def groups_of(verb: str) -> list[str]:
    """The groups that a verb's defaults list names."""
    text = (conf_dir() / f"{verb}.yaml").read_text()
    return [p.name for p in sorted(conf_dir().iterdir()) if p.is_dir() and f"- {p.name}:" in text]


def is_group(override: str) -> bool:
    return (conf_dir() / override.split("=")[0].lstrip("+~")).is_dir()


def option(group: str, option: str | None) -> Any:
    """What an option's file holds."""
    return {} if option is None else OmegaConf.to_container(OmegaConf.load(conf_dir() / group / f"{option}.yaml"))


def leaves(cfg: DictConfig, prefix: str = "") -> dict[str, Any]:
    """Every dotted key of a configuration with its value, interpolations resolved where they can be."""
    out: dict[str, Any] = {}
    for key in map(str, cfg):
        name = f"{prefix}{key}"
        out[name] = None
        with suppress(InterpolationToMissingValueError, MissingMandatoryValue):
            if isinstance(cfg[key], DictConfig):
                out |= leaves(cfg[key], f"{name}.")
            else:
                out[name] = cfg[key]
    return out
