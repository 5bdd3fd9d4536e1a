"""A verb's configuration out of conf/ and the overrides of the command line, with errors worth reading."""

import re

from omegaconf import DictConfig, OmegaConf

from difflab.config.composition import composed
from difflab.config.of_the_run import inherit, named_run, of_the_run, offer_for_evaluation
from difflab.config.resolved import as_the_file_has_it, resumed
from difflab.config.tree import groups_of, is_group, leaves, option
from difflab.config.validate import one_budget, one_number_of_steps, validate
from difflab.config.wording import check_form, check_types, readable
from difflab.errors import DifflabError
from difflab.files import conf_dir
from difflab.latents.settings import settle
from difflab.runs.directory import user_path

NEED_A_RUN = ("sample", "edit", "likelihood", "agreement")
MAY_HAVE_A_RUN = ("explain",)
WORDS = ("prompt", "source", "task.source")


def compose(verb: str, overrides: list[str]) -> DictConfig:
    """The configuration of `difflab VERB overrides`, struct mode on.

    Raises DifflabError for a name that does not exist ("did you mean"), a value of the wrong type, and text
    that can't be read.
    """
    overrides = [quoted(o) for o in overrides]
    given = {key: unquoted(text) for key, text in (o.split("=", 1) for o in overrides if "=" in o)}
    check_form(overrides)
    for key, goes_on in (("resume", resumed), ("config", as_the_file_has_it)):
        if verb == "train" and given.get(key, "null") != "null":
            return goes_on(given[key], [o for o in overrides if not o.startswith(f"{key}=")])
    if verb == "edit":
        overrides = of_the_task(overrides, given.get("task"))
    if verb in NEED_A_RUN:
        inherit(named_run(verb, given), given)
    if verb == "novelty" and not given.get("from"):
        named_run(verb, given)  # says that it is missing
    if verb in ("evaluate", "novelty"):
        offer_for_evaluation(given)
    if verb in MAY_HAVE_A_RUN and given.get("from", "null") != "null":
        overrides = [*of_the_run(named_run(verb, given), verb, overrides), *overrides]
    cfg = _named_options(verb, overrides, _from_hydra(verb, overrides))
    check_types(_from_hydra(verb, [o for o in overrides if is_group(o)]), cfg)
    validate(cfg)
    if cfg.get("out") is not None:  # a folder may be called 1, or ~/pictures
        cfg.out = str(user_path(str(cfg.out)))
    if verb == "train":
        one_budget(given, cfg)
        settle(cfg)
    one_number_of_steps(given)
    return cfg


def _from_hydra(verb: str, overrides: list[str]) -> DictConfig:
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        return composed(verb, overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise readable(verb, error, lambda: _known(verb, overrides)) from error


def _known(verb: str, overrides: list[str]) -> list[str]:
    """The settings and groups of a verb, with the options that are named."""
    groups = groups_of(verb)
    return list(leaves(_from_hydra(verb, [o for o in overrides if o.split("=")[0] in groups]))) + groups


def _named_options(verb: str, overrides: list[str], cfg: DictConfig) -> DictConfig:
    """Take an option named on the command line as its own file has it, without what an experiment adds to another.

    So grid=uniform_t composes with an experiment that sets a number of the Karras grid.
    """
    named = [o.split("=")[0] for o in overrides if is_group(o)]
    if "experiment" not in groups_of(verb) or set(named) <= {"experiment"}:
        return cfg
    theirs = [o for o in overrides if is_group(o) or o.split(".")[0] in named]  # all that makes a difference to them
    plain = _from_hydra(verb, [*(o for o in theirs if not o.startswith("experiment=")), "~experiment"])
    for group in set(named) - {"experiment"}:
        OmegaConf.update(cfg, group, plain[group], merge=False)
    return cfg


def of_the_task(overrides: list[str], task: str | None) -> list[str]:
    """A number of the task without its group, strength=0.7, as task.strength=0.7. Raises DifflabError for no task."""
    if task is None:
        options = ", ".join(sorted(path.stem for path in (conf_dir() / "task").glob("*.yaml")))
        raise DifflabError(f"task= is missing: it is one of {options}")
    file = conf_dir() / "task" / f"{task}.yaml"
    numbers = option("task", task) if file.is_file() else {}
    return [f"task.{o}" if o.partition("=")[0] in numbers else o for o in overrides]


def quoted(override: str) -> str:
    """A path such as jobs/000-schedule=cosine,prediction=eps or ~/made in the quotes that Hydra wants around it.

    Words are anything that one may say, unless they are null, quoted already, or a list of them.
    """
    key, _, value = override.partition("=")
    if key in WORDS and value != "null" and not value.startswith(("[", "'", '"')):
        return '{}="{}"'.format(key, value.replace('"', r"\""))
    is_path = re.fullmatch(r"[\w./~$=+,-]+", value) and ("=" in value or "~" in value)
    return f'{key}="{value}"' if is_path else override


def unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
