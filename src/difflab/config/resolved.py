"""Configurations that are resolved already: that of a run which goes on, and a file."""

import copy
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from difflab.config.tree import groups_of, is_group, leaves
from difflab.config.validate import one_budget, validate
from difflab.config.wording import check_types
from difflab.errors import DifflabError, near
from difflab.latents.settings import refuse_pixels_only
from difflab.runs.directory import find_run, user_path


def resumed(name: str, overrides: list[str]) -> DictConfig:
    """The run's own configuration; only values may be overridden, and only known ones."""
    run = find_run(name, "resume")
    for override in overrides:
        if override.startswith(("run_dir=", "config=")):
            raise DifflabError(f"{override}: the run {run.path} goes on in its own directory as it is; leave it out")
    cfg = _with_values(run.read_config(), overrides, f"the run {run.path}")
    cfg.resume = str(run.path)
    return cfg


def as_the_file_has_it(name: str, overrides: list[str]) -> DictConfig:
    """A resolved configuration file, such as a run's config.yaml, for a run of its own."""
    cfg = read_config_file(user_path(name), "config")
    cfg.resume, cfg.config = None, name
    if "run_id" in cfg.logger:
        cfg.logger.run_id = None
    cfg = _with_values(cfg, overrides, f"config={name}")
    one_budget({key: text for key, _, text in (o.partition("=") for o in overrides)}, cfg)
    refuse_pixels_only(cfg, "condition", "objective", "guidance")
    return cfg


def read_config_file(path: Path, key: str) -> DictConfig:
    """A whole configuration of `difflab train`, struct mode on.

    Raises DifflabError where there is none, `key` being the setting that names it.
    """
    try:
        cfg = OmegaConf.load(path)
    except (OSError, YAMLError) as error:
        raise DifflabError(f"{key}={path} is not a configuration file ({type(error).__name__})") from error
    missing = [g for g in groups_of("train") if g != "experiment" and g not in cfg] if cfg else ["any"]
    if missing or not isinstance(cfg, DictConfig):
        raise DifflabError(
            f"{key}={path} is not a whole configuration of `difflab train` (no {', '.join(missing)}): name a run's "
            "config.yaml, or write one with `difflab train --cfg`"
        )
    OmegaConf.set_struct(cfg, True)
    return cfg


def _with_values(cfg: DictConfig, overrides: list[str], whose: str) -> DictConfig:
    """A copy with single values overridden, but no groups; `whose` it is, for the message."""
    before, cfg = cfg, copy.deepcopy(cfg)
    known = leaves(cfg)
    for override in overrides:
        key, _, text = override.partition("=")
        if is_group(override):
            raise DifflabError(
                f"{override}: {whose} goes on with the {key} it began with; leave {key} out, "
                "override single values (such as train.total_nimg), or start a new run"
            )
        if key not in known:
            raise DifflabError(f"'{key}' is not a setting of {whose}{near(key, known)}")
        OmegaConf.update(cfg, key, OmegaConf.create(f"value: {text}").value)
    check_types(before, cfg)
    validate(cfg)
    return cfg
