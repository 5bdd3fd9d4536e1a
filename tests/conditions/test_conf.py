"""Every condition on text, as it is configured, trains a step on captions and samples for a prompt."""

from pathlib import Path

import pytest
import torch

from difflab import assemble
from difflab.conditions import encoders
from difflab.conditions.asked import InTurn
from difflab.conditions.text import Text
from difflab.config.compose import compose
from difflab.config.instantiate import build
from difflab.files import conf_dir
from difflab.nets.cost import parameters
from difflab.rng import generator
from tests.conditions import tiny_encoders

FOLDERS = {"text_learned": None, "text_minilm": "bert", "text_clip": "clip", "text_t5": "t5"}
OPTIONS = sorted(path.stem for path in (conf_dir() / "condition").glob("text_*.yaml"))


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("net", ["unet_tiny", "mlp"])
def test_option_trains_and_samples(option: str, net: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, overrides = FOLDERS[option], ["experiment=smoke", f"net={net}", "guidance=classifier_free", "grid.steps=2"]
    if kind is not None:
        monkeypatch.setattr(encoders, "MINILM_SHA256", "")
        folder = getattr(tiny_encoders, kind)(tmp_path)
        overrides += [f"condition.encoder.folder={folder}", "condition.encoder.length=16"]
    cfg = compose("train", [*overrides, f"condition={option}"])
    denoiser, objective = assemble.denoiser(cfg), assemble.objective(cfg)
    assert isinstance(denoiser.condition, Text)
    optimizer = build(cfg.optim).build(denoiser.parameters())
    given = denoiser.condition.of_batch({"caption": ["a crying cat", "noto style", "", "dog"]})
    loss = objective(denoiser.given(given), torch.rand(4, *cfg.data.shape), generator(0)).per_sample.mean()
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss)
    generation = assemble.generation(cfg).asking(InTurn(denoiser.condition.ask(["cat", ""])))
    assert generation.batch(denoiser.eval(), 0, range(3)).shape == (3, *cfg.data.shape)


def test_the_model_of_emoji_text_is_at_most_10_mb() -> None:
    """At two bytes a number, with room for the names of the tensors."""
    cfg = compose("train", ["experiment=emoji_text"])
    assert 2 * parameters(assemble.denoiser(cfg)) < 10e6 - 50e3
