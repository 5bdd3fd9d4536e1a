"""A verb's configuration out of conf/ and the overrides of the command line, with errors worth reading."""

import copy
import difflib
import re
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue
from yaml import YAMLError

from difflab import chosen
from difflab.errors import DifflabError
from difflab.files import conf_dir
from difflab.runs import Run, find_run, is_of_a_run, user_path
from difflab.validate import validate

# Settings with a number that null switches off.
MAY_BE_NULL = (
    "train.minutes", "train.grad_clip", "ema.rampup", "data.sigma_data", "callbacks.samples.every_nimg",
    "callbacks.evaluation.proxy.every_nimg", "callbacks.evaluation.full.every_nimg", "callbacks.best.figure",
    "callbacks.evaluation.share",
    "callbacks.throughput.every_nimg", "callbacks.checkpoint.every_nimg",
    "metrics.reference_n", "grid.end", "vlb.levels_per_picture", "vlb.sigma_min", "ode.probes", "ode.sigma_min",
)  # fmt: skip
NEED_A_RUN = ("sample", "likelihood")
MAY_HAVE_A_RUN = ("explain",)
# What they take over from it, unless it is overridden.
INHERITED = ("data", "schedule", "sampler", "grid", "guidance", "metrics", "trainer")


def compose(verb: str, overrides: list[str]) -> DictConfig:
    """The configuration of `difflab VERB overrides`, struct mode on.

    Raises DifflabError for a name that does not exist ("did you mean"), a value of the wrong type, and text
    that can't be read.
    """
    overrides = [quoted(o) for o in overrides]
    given = {key: _unquoted(text) for key, text in (o.split("=", 1) for o in overrides if "=" in o)}
    _check_form(overrides)
    for key, goes_on in (("resume", _resumed), ("config", _as_the_file_has_it)):
        if verb == "train" and given.get(key, "null") != "null":
            return goes_on(given[key], [o for o in overrides if not o.startswith(f"{key}=")])
    if verb in NEED_A_RUN:
        _inherit(_named_run(verb, given), given)
    if verb == "novelty" and not given.get("from"):
        _named_run(verb, given)  # says that it is missing
    if verb in ("evaluate", "novelty"):
        _offer_for_evaluation(given)
    if verb in MAY_HAVE_A_RUN and given.get("from", "null") != "null":
        overrides = [*_of_the_run(_named_run(verb, given), verb, overrides), *overrides]
    cfg = _named_options(verb, overrides, copy.deepcopy(_hydra_compose(verb, overrides)))
    _check_types(_hydra_compose(verb, [o for o in overrides if _is_group(o)]), cfg)
    validate(cfg)
    if verb == "train":
        _one_budget(given, cfg)
    _one_number_of_steps(given)
    return cfg


def _one_budget(given: dict[str, str], cfg: DictConfig) -> None:
    """A number of images that is asked for takes the place of an experiment's minutes."""
    images, minutes = given.get("train.total_nimg"), given.get("train.minutes", "null")
    if images is None:
        return
    if minutes != "null":
        raise DifflabError(f"train.total_nimg={images} and train.minutes={minutes} are two budgets: leave one out")
    cfg.train.minutes = None


def _one_number_of_steps(given: dict[str, str]) -> None:
    steps, nfe = given.get("grid.steps"), given.get("nfe", "null")
    if steps is not None and nfe != "null":
        raise DifflabError(f"grid.steps={steps} and nfe={nfe} both set the number of steps: leave one out")


def near(word: str, known: Iterable[str]) -> str:
    """', did you mean X?' or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f", did you mean '{close[0]}'?" if close else ""


def _hydra_compose(verb: str, overrides: list[str]) -> DictConfig:
    """By Hydra alone, not to be changed: once for the same words, as the jobs of a sweep have many in common."""
    if verb != "train":  # where a run may be offered as an option
        return _composed(verb, overrides)
    return _remembered(tuple(overrides), conf_dir())


@lru_cache(maxsize=64)
def _remembered(overrides: tuple[str, ...], conf: Path) -> DictConfig:
    return _composed("train", list(overrides))


def _composed(verb: str, overrides: list[str]) -> DictConfig:
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        with hydra.initialize_config_dir(str(conf_dir().resolve()), version_base="1.3"):
            cfg = hydra.compose(verb, overrides, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise _readable(verb, overrides, error) from error
    choices = cfg.hydra.runtime.choices
    OmegaConf.set_struct(cfg, False)
    del cfg["hydra"]
    if "name" in cfg.keys():  # noqa: SIM118 - a missing value is a key, but not `in`
        cfg.name = choices.get("experiment") or "unnamed"
    OmegaConf.set_struct(cfg, True)
    return cfg


def _named_options(verb: str, overrides: list[str], cfg: DictConfig) -> DictConfig:
    """Take an option named on the command line as its own file has it, without what an experiment adds to another.

    So grid=uniform_t composes with an experiment that sets a number of the Karras grid.
    """
    named = [o.split("=")[0] for o in overrides if _is_group(o)]
    if "experiment" not in groups_of(verb) or set(named) <= {"experiment"}:
        return cfg
    theirs = [o for o in overrides if _is_group(o) or o.split(".")[0] in named]  # all that makes a difference to them
    plain = _hydra_compose(verb, [*(o for o in theirs if not o.startswith("experiment=")), "~experiment"])
    for group in set(named) - {"experiment"}:
        OmegaConf.update(cfg, group, plain[group], merge=False)
    return cfg


def groups_of(verb: str) -> list[str]:
    """The groups that a verb's defaults list names."""
    text = (conf_dir() / f"{verb}.yaml").read_text()
    return [p.name for p in sorted(conf_dir().iterdir()) if p.is_dir() and f"- {p.name}:" in text]


def _is_group(override: str) -> bool:
    return (conf_dir() / override.split("=")[0].lstrip("+~")).is_dir()


def _check_form(overrides: list[str]) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    for override in overrides:
        try:
            OverridesParser.create().parse_override(override)
        except HydraException as error:
            raise DifflabError(
                f"'{override}' is not an override: write key=value, such as train.seed=1 or sampler=heun "
                "(quote a value with special characters: 'out=\"my folder\"')"
            ) from error


def _readable(verb: str, overrides: list[str], error: Exception) -> DifflabError:
    text = str(error)
    if found := re.search(r"Could not find '([^']+)'", text):
        group, _, option = found[1].rpartition("/")
        options = sorted(p.stem for p in (conf_dir() / group).glob("*.yaml"))
        return DifflabError(
            f"{group}={option}: there is no such {group}{near(option, options)} (it is one of {', '.join(options)})"
        )
    found = re.search(r"Could not override '([^']+)'", text) or re.search(r"Key '([^']+)' is not in struct", text)
    if found:
        groups = groups_of(verb)
        known = list(leaves(_hydra_compose(verb, [o for o in overrides if o.split("=")[0] in groups]))) + groups
        command = "difflab train -m" if verb == "multirun" else f"difflab {verb}"
        hint = f"{near(found[1], known)} (`{command} --cfg` lists them)"
        return DifflabError(f"'{found[1]}' is not a setting of {command}{hint}")
    return DifflabError(" ".join(text.split()))


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


def _check_types(before: DictConfig, after: DictConfig) -> None:
    """A value keeps the type of its default: YAML alone would take train.seed=abc."""
    defaults = leaves(before)
    for key, value in leaves(after).items():
        default = defaults.get(key)
        if default is None or (value is None and key in MAY_BE_NULL) or _same_type(default, value):
            continue
        raise DifflabError(
            f"{key}={value}: '{value}' is {_kind(value)}, but {key} is {_kind(default)} such as {default}"
        )


def _same_type(default: Any, value: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    return isinstance(value, type(default))


def _kind(value: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    return names.get(type(value), "a list")


def _named_run(verb: str, given: dict[str, str]) -> Run:
    if not given.get("from"):
        raise DifflabError(f"from= is missing: name the run, as in `difflab {verb} from=runs/fashion_cosine/<time>`")
    return find_run(given["from"])


# What an evaluation takes where there is no run; a set of pictures was sampled by others.
_WITHOUT_A_RUN = {"metrics": "efficientnet_lite0", "trainer": "cpu", "sampler": None, "grid": None, "guidance": None}


def _offer_for_evaluation(given: dict[str, str]) -> None:
    """Offer as `of_the_run` what the named run has chosen, or what stands in for it.

    Raises DifflabError where neither pictures nor a reference are named, or no data, or a sampler for pictures.
    """
    name, reference = (given.get(key, "null") for key in ("from", "reference"))
    if name == reference == "null":
        raise DifflabError(
            "from= is missing: name a run, a checkpoint, a folder or an .npz of pictures, as in `difflab evaluate "
            "from=runs/fashion_cosine/<time>`; or a reference=... alone, to build or inspect it"
        )
    if name != "null" and is_of_a_run(user_path(name)):
        _inherit(find_run(name), given)
        return
    if name != "null" and not user_path(name).exists():
        raise DifflabError(
            f"from={name}: there is no such run, checkpoint, folder or .npz; `ls -d runs/*/*` lists runs"
        )
    _check_without_a_run(name, reference, given)
    store = {group: _option(group, option) for group, option in _WITHOUT_A_RUN.items()}
    _store(store | {"data": {}})


def _check_without_a_run(name: str, reference: str, given: dict[str, str]) -> None:
    who = "the reference alone" if name == "null" else f"from={name}, which is no run (it has no config.yaml),"
    for key in ("weights", "nfe", "sampler", "grid", "guidance"):
        if key in given:
            raise DifflabError(f"{key}={given[key]}: {who} has nothing to sample with; leave {key} out")
    if "data" not in given and reference in ("null", "train", "val"):
        raise DifflabError(
            f"data= is missing: {who} does not say what to compare with; name a data set, such as data=cifar10, or a "
            "folder or .npz with reference=..."
        )


def quoted(override: str) -> str:
    """A path such as jobs/000-schedule=cosine,prediction=eps in the quotes that Hydra wants around `=` and `,`."""
    key, _, value = override.partition("=")
    return f'{key}="{value}"' if "=" in value and re.fullmatch(r"[\w./~$=+,-]+", value) else override


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _option(group: str, option: str | None) -> Any:
    """What an option's file holds."""
    return {} if option is None else OmegaConf.to_container(OmegaConf.load(conf_dir() / group / f"{option}.yaml"))


def _of_the_run(run: Run, verb: str, overrides: list[str]) -> list[str]:
    """The overrides that choose the run's own for every group that is not named; a tracker is asked for by name."""
    cfg, named = run.read_config(), {o.split("=")[0] for o in overrides}
    groups = [g for g in groups_of(verb) if g in cfg and g not in {*named, "logger"}]
    _inherit(run, named, groups)
    return [f"{group}=of_the_run" for group in groups]


def _inherit(run: Run, named: Container[str], groups: Iterable[str] = INHERITED) -> None:
    """Offer the run's own choices as the option `of_the_run` of their groups.

    A sampler that a sweep has chosen goes with its grid and its guidance: one that is `named` comes with the run's own.
    """
    cfg, trained = run.read_config(), chosen.trained_nodes(run)
    nodes = {group: OmegaConf.to_container(cfg[group]) for group in groups}
    default = trained if "sampler" in named else chosen.default_nodes(run)
    _store(nodes | {group: node for group, node in default.items() if group in nodes})
    _store({"sampler": trained["sampler"]}, "trained")


def _store(nodes: Mapping[str, Any], option: str = "of_the_run") -> None:
    from hydra.core.config_store import ConfigStore

    for group, node in nodes.items():
        ConfigStore.instance().store(group=group, name=option, node=node)


def _resumed(name: str, overrides: list[str]) -> DictConfig:
    """The run's own configuration; only values may be overridden, and only known ones."""
    run = find_run(name, "resume")
    for override in overrides:
        if override.startswith(("run_dir=", "config=")):
            raise DifflabError(f"{override}: the run {run.path} goes on in its own directory as it is; leave it out")
    cfg = _with_values(run.read_config(), overrides, f"the run {run.path}")
    cfg.resume = str(run.path)
    return cfg


def _as_the_file_has_it(name: str, overrides: list[str]) -> DictConfig:
    """A resolved configuration file, such as a run's config.yaml, for a run of its own."""
    cfg = read_config_file(user_path(name), "config")
    cfg.resume, cfg.config = None, name
    if "run_id" in cfg.logger:
        cfg.logger.run_id = None
    cfg = _with_values(cfg, overrides, f"config={name}")
    _one_budget({key: text for key, _, text in (o.partition("=") for o in overrides)}, cfg)
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
        if _is_group(override):
            raise DifflabError(
                f"{override}: {whose} goes on with the {key} it began with; leave {key} out, "
                "override single values (such as train.total_nimg), or start a new run"
            )
        if key not in known:
            raise DifflabError(f"'{key}' is not a setting of {whose}{near(key, known)}")
        OmegaConf.update(cfg, key, OmegaConf.create(f"value: {text}").value)
    _check_types(before, cfg)
    validate(cfg)
    return cfg
