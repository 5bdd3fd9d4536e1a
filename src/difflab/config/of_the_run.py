"""What a verb takes over from a run: its own choices, as the option `of_the_run` of their groups."""

from collections.abc import Container, Iterable

from omegaconf import OmegaConf

from difflab.config.composition import offer
from difflab.config.tree import groups_of, option
from difflab.errors import DifflabError
from difflab.runs import chosen
from difflab.runs.directory import Run, find_run, is_of_a_run, run_path

# What is taken over, unless it is overridden.
INHERITED = ("data", "schedule", "sampler", "grid", "guidance", "metrics", "trainer")
# What an evaluation takes where there is no run; a set of pictures was sampled by others.
_WITHOUT_A_RUN = {"metrics": "efficientnet_lite0", "trainer": "cpu", "sampler": None, "grid": None, "guidance": None}


def named_run(verb: str, given: dict[str, str]) -> Run:
    if not given.get("from"):
        raise DifflabError(f"from= is missing: name the run, as in `difflab {verb} from=runs/fashion_cosine/<time>`")
    return find_run(given["from"])


def of_the_run(run: Run, verb: str, overrides: list[str]) -> list[str]:
    """The overrides that choose the run's own for every group that is not named; a tracker is asked for by name."""
    cfg, named = run.read_config(), {o.split("=")[0] for o in overrides}
    groups = [g for g in groups_of(verb) if g in cfg and g not in {*named, "logger"}]
    inherit(run, named, groups)
    return [f"{group}=of_the_run" for group in groups]


def inherit(run: Run, named: Container[str], groups: Iterable[str] = INHERITED) -> None:
    """Offer the run's own choices as the option `of_the_run` of their groups.

    A sampler that a sweep has chosen goes with its grid and its guidance: one that is `named` comes with the run's own.
    """
    cfg, trained = run.read_config(), chosen.trained_nodes(run)
    nodes = {group: OmegaConf.to_container(cfg[group]) for group in groups}
    default = trained if "sampler" in named else chosen.default_nodes(run)
    offer(nodes | {group: node for group, node in default.items() if group in nodes}, "of_the_run")
    offer({"sampler": trained["sampler"]}, "trained")


def offer_for_evaluation(given: dict[str, str]) -> None:
    """Offer as `of_the_run` what the named run has chosen, or what stands in for it.

    Raises DifflabError where neither pictures nor a reference are named, or no data, or a sampler for pictures.
    """
    name, reference = (given.get(key, "null") for key in ("from", "reference"))
    if name == reference == "null":
        raise DifflabError(
            "from= is missing: name a run, a checkpoint, a folder or an .npz of pictures, as in `difflab evaluate "
            "from=runs/fashion_cosine/<time>`; or a reference=... alone, to build or inspect it"
        )
    if name != "null" and is_of_a_run(run_path(name)):
        inherit(find_run(name), given)
        return
    if name != "null" and not run_path(name).exists():
        raise DifflabError(
            f"from={name}: there is no such run, checkpoint, folder or .npz; `ls -d runs/*/*` lists runs"
        )
    _check_without_a_run(name, reference, given)
    store = {group: option(group, name) for group, name in _WITHOUT_A_RUN.items()}
    offer(store | {"data": {}}, "of_the_run")


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
