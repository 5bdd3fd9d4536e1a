"""difflab VERB -m: plan the sweep, check every job, run them."""

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from difflab.sweeps.expand import expand
from difflab.sweeps.folder import Sweep
from difflab.sweeps.plan import plan
from difflab.sweeps.settings import compose_settings

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override


def main(verb: str, words: Sequence[str], at_once: int | None, show: bool = False) -> int:
    """Run the sweep, `at_once` jobs side by side (None: not said), or `show` what it would be; 0 if none fails."""
    settings = compose_settings(verb, words)
    sweep, overrides = plan(verb, words, settings)
    if show:
        _show(sweep, overrides, settings)
        return 0
    run = importlib.import_module(f"difflab.sweeps.{verb}").run
    return int(run(sweep, overrides, settings, at_once))


def _show(sweep: Sweep, overrides: "Sequence[Override]", settings: DictConfig) -> None:
    """Its own settings, its folder, and the words of every job; those of a search come one by one."""
    print(OmegaConf.to_yaml(settings), end="")
    print(f"# {sweep.path}")
    if settings.search.kind == "none":
        print(*(" ".join(job.all) for job in expand(overrides)), sep="\n")
