"""Every file in conf/ is executed."""

from pathlib import Path

import pytest
import torch

from difflab import assemble
from difflab.config.compose import compose
from difflab.config.instantiate import build
from difflab.errors import DifflabError
from difflab.files import conf_dir
from difflab.rng import generator
from tests.conftest import train

# Data sets have a test of their own; these need a GPU, hours or a download, so they are built, not trained.
# What the algebra is made of is built and crossed in test_matrix.py.
CORE = ("optim", "condition", "ema", "callbacks")
# Frozen encoders of text need a download: tests/conditions/test_conf.py trains them with tiny ones.
DOWNLOADED = ("condition=text_minilm", "condition=text_clip", "condition=text_t5")
EXPERIMENTS = sorted(p.stem for p in (conf_dir() / "experiment").glob("*.yaml") if p.stem != "emoji_autoencoder")
ON_A_GPU = [name for name in EXPERIMENTS if name.startswith("cifar_") and name != "cifar_cosine"]


def options(*groups: str) -> list[str]:
    return [f"{g}={p.stem}" for g in groups for p in sorted((conf_dir() / g).glob("*.yaml"))]


def small(experiment: str) -> list[str]:
    """Small pictures, captioned where the experiment reads them, and a small network that learns what its own does."""
    cfg = compose("train", [f"experiment={experiment}", "latent=none"])
    data = ["data.shape=[3,16,16]"] if cfg.data.get("tags") else ["data=fashion_mini", "data.shape=[1,16,16]"]
    learned = f"net.learn_variance={str(cfg.net.learn_variance).lower()}"
    return [*data, "latent=none", "net=unet_tiny", learned, "grid.steps=3"]


def one_step(*overrides: str) -> None:
    """Compose, train a step and sample in three, all finite."""
    cfg = compose("train", ["experiment=smoke", "grid.steps=3", *overrides])
    denoiser, objective = assemble.denoiser(cfg), assemble.objective(cfg)
    assemble.check(denoiser, objective)
    optimizer = build(cfg.optim).build([*denoiser.parameters(), *objective.parameters()])
    x0 = torch.rand(4, *cfg.data.shape) * 2 - 1
    batch = {"x0": x0, "label": torch.arange(4), "caption": ["a cat"] * 4}
    loss = objective(denoiser.given(denoiser.condition.of_batch(batch)), x0, generator(0)).per_sample.mean()
    loss.backward()
    optimizer.step()
    with torch.inference_mode():
        snapshots = lambda nimg: (0, denoiser)  # noqa: E731 - the run's own weaker self, for autoguidance
        *_, step = assemble.generation(cfg, snapshots).steps(denoiser, 0, [0, 1])
    assert torch.isfinite(loss)
    assert torch.isfinite(step.x).all()


@pytest.mark.parametrize("option", [o for o in options(*CORE) if o not in DOWNLOADED])
def test_option_composes_with_everything_else(option: str) -> None:
    one_step(option)


@pytest.mark.parametrize("option", options("net"))
def test_network_is_built_and_maps_pictures(option: str) -> None:
    cfg = compose("train", [option])
    denoiser = assemble.denoiser(cfg)
    with torch.inference_mode():
        out = denoiser(torch.zeros(1, *cfg.data.shape), torch.tensor(0.6), torch.tensor(0.8))
    assert out.shape == (1, *cfg.data.shape)


@pytest.mark.parametrize("option", options("trainer", "logger", "metrics", "figures"))
def test_wiring_option_composes(option: str) -> None:
    group = option.partition("=")[0]
    assert len(compose("train", [option])[group]) > 0


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment_says_what_it_claims(name: str) -> None:
    text = (conf_dir() / "experiment" / f"{name}.yaml").read_text().splitlines()
    assert len(text) <= 25
    assert text[1].startswith("# ")


@pytest.mark.parametrize("name", ON_A_GPU)
def test_experiment_trains_a_step(name: str) -> None:
    cfg = compose("train", [f"experiment={name}", *small(name)])
    denoiser, objective = assemble.denoiser(cfg), assemble.objective(cfg)
    loss = objective(denoiser, torch.zeros(4, *cfg.data.shape), generator(0)).per_sample.mean()
    loss.backward()
    assert cfg.name == name
    assert torch.isfinite(loss)
    assert assemble.generation(cfg).protocol["nfe"] >= 3


@pytest.mark.parametrize(
    "name", [pytest.param(e, marks=pytest.mark.slow if e in ON_A_GPU else ()) for e in EXPERIMENTS if e != "smoke"]
)
def test_experiment_runs_from_end_to_end_on_the_processor(name: str, tmp_path: Path) -> None:
    """With small pictures and network and two steps of training, everything else as it is shipped."""
    run = train(
        tmp_path, f"experiment={name}", *small(name), "trainer=cpu", "logger=none", "metrics=none",
        "train.minutes=null", "train.total_nimg=32", "train.batch_size=16", "callbacks=default",
        "callbacks.samples.n=4",
    )  # fmt: skip
    assert run.result.is_file()


def test_impossible_pair_is_refused_at_construction() -> None:
    with pytest.raises(DifflabError, match="prediction 'eps' cannot recover x0"):
        one_step("prediction=eps", "grid=uniform_t")
