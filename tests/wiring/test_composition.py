"""Configurations that are put together from remembered ones are Hydra's own."""

import hydra
import pytest
from omegaconf import OmegaConf

from difflab.config.compose import compose
from difflab.config.composition import composed, offer
from difflab.errors import DifflabError
from difflab.files import conf_dir


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("train", []),
        ("train", ["train.seed=3", "optim.lr=1e-3", "train.seed=4"]),
        ("train", ["experiment=emoji_text", "net.width=32", "schedule=linear_vp", "data.tags=[style]"]),
        ("train", ["callbacks.samples={n:3}", "runs='${data.name}'", "train.minutes=null", "train={seed:2}"]),
        ("train", ["+data.extra=1", "~data.extra", "train.seed=5"]),
        ("train", ["experiment=smoke", "hydra.job.name=x"]),
        ("multirun", ["sweep=samplers"]),
        ("explain", ["schedule=linear_vp"]),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else x,
)
def test_it_is_what_hydra_makes(verb: str, words: list[str]) -> None:
    with hydra.initialize_config_dir(str(conf_dir().resolve()), version_base="1.3"):
        theirs = hydra.compose(verb, words)
    ours = composed(verb, words)
    if verb == "train":
        theirs.name = ours.name  # which is that of the experiment
    assert OmegaConf.to_container(ours) == OmegaConf.to_container(theirs)


def test_what_is_changed_is_not_remembered() -> None:
    first = composed("train", ["experiment=smoke"])
    first.train.seed = 7
    assert composed("train", ["experiment=smoke"]).train.seed == 0


def test_what_is_offered_later_counts() -> None:
    for value in (1, 2):
        offer({"grid": {"own": value}}, "of_the_run")
        assert composed("train", ["grid=of_the_run"]).grid.own == value


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("~ema", "takes away what is needed"),
        ("ema.halflife_nimg=null", "'null' is no value, but ema.halflife_nimg is a whole number"),
        ("train.sed=1", "did you mean 'train.seed'"),
        ("train.seed=1,2", "Ambiguous value"),
    ],
)
def test_what_cannot_be_set_is_said(word: str, said: str) -> None:
    with pytest.raises(DifflabError) as refusal:
        compose("train", [word])
    assert said in str(refusal.value)
