"""`difflab likelihood` prints, writes and draws both figures of a run, on every schedule, and refuses nonsense."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from difflab import assemble
from difflab.cli import main
from difflab.config.instantiate import build
from difflab.data.images import Images
from difflab.denoiser import Denoiser
from difflab.files import conf_dir
from difflab.likelihood import Subject, chosen, probability_flow, variational
from difflab.metrics.protocol import Figure
from difflab.nets.mlp import MLP
from difflab.predictions import V
from difflab.runs.directory import Run

SMALL = ("n=4", "vlb.levels=60", "vlb.levels_per_picture=4", "ode.steps=4", "ode.twice=2")
SCHEDULES = sorted(p.stem for p in (conf_dir() / "schedule").glob("*.yaml"))


def likelihood(run: Run, out: Path, *overrides: str) -> dict[str, Any]:
    """The numbers of likelihood.json."""
    assert main(["likelihood", f"from={run.path}", f"out={out}", *SMALL, *overrides]) == 0
    numbers: dict[str, Any] = json.loads((out / "likelihood.json").read_text())
    return numbers


@pytest.fixture(scope="module")
def found(smoke: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("likelihood")
    return out, likelihood(smoke, out)


def test_figures_are_the_means_of_the_pictures(found: tuple[Path, dict[str, Any]]) -> None:
    _, numbers = found
    bound, flow = (Figure.from_json(figure) for figure in numbers["figures"])
    assert (bound.name, flow.name) == ("bits_per_dim_vlb", "bits_per_dim_ode")
    for figure in (bound, flow):
        bits = torch.tensor(numbers[figure.name]["bits"], dtype=torch.float64)
        assert figure.value == pytest.approx(bits.mean().item())
        assert figure.error == pytest.approx((bits.std() / 2).item())
        assert 1 < figure.value < 14  # 8 is what a uniform guess costs, and the run has hardly learned
    assert len(numbers[flow.name]["again"]) == 2
    assert numbers[flow.name]["error_of_draws"] > 0


def test_parts_of_the_bound_sum_to_it(found: tuple[Path, dict[str, Any]]) -> None:
    _, numbers = found
    parts = numbers["bits_per_dim_vlb"]
    assert sum(term["levels"] for term in parts["terms"]) == 59
    assert sum(term["bits"] for term in parts["terms"]) == pytest.approx(parts["steps"])
    assert parts["prior"] + parts["steps"] + parts["pixels"] == pytest.approx(numbers["figures"][0]["value"])
    for before, after in zip(parts["terms"], parts["terms"][1:], strict=False):
        assert before["logsnr"][1] == after["logsnr"][0] < before["logsnr"][0]


def test_protocol_says_how(found: tuple[Path, dict[str, Any]]) -> None:
    bound, flow = (figure["protocol"] for figure in found[1]["figures"])
    for protocol in (bound, flow):
        assert (protocol["n"], protocol["pictures"], protocol["shape"]) == (4, "fashion_mini/val", "1x16x16")
        assert (protocol["weights"], protocol["nimg"], len(protocol["pictures_digest"])) == ("ema", 2048, 64)
    assert (bound["levels"], bound["levels_per_picture"], bound["variance"]) == (60, 4, "upper")
    assert bound["sigma_min"] == pytest.approx(np.tan(np.pi / 120), rel=1e-3)  # the first of 60 levels
    assert (flow["solver"], flow["nfe"], flow["sigma_min"]) == ("rk4(4)", 16, 0.002)


def test_picture_opens_and_is_not_blank(found: tuple[Path, dict[str, Any]]) -> None:
    page = np.array(Image.open(found[0] / "terms.png"))
    assert page.shape[1] >= 1240
    assert 0.02 < (page.mean(2) < 250).mean() < 0.9


def test_printed_lines_name_value_error_and_protocol(
    smoke: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    likelihood(smoke, tmp_path, "method=[ode]", "n=2")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("bits_per_dim_ode ") and " ± " in lines[0] and "(n=2, pictures=" in lines[0]
    assert "None" not in lines[0]
    assert "that of dequantisation and probes" in lines[1]
    assert lines[2] == f"likelihood: {tmp_path}"
    assert not (tmp_path / "terms.png").exists()


def test_picture_has_its_bits_in_any_batch_and_company(
    smoke: Run, found: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    other = likelihood(smoke, tmp_path, "n=3", "batch=5")
    assert other["pictures"]["indices"] == found[1]["pictures"]["indices"][:3]
    for name in ("bits_per_dim_vlb", "bits_per_dim_ode"):
        # Convolutions of another batch differ in the last digits.
        np.testing.assert_allclose(other[name]["bits"], found[1][name]["bits"][:3], rtol=0, atol=2e-3)


def test_splits_and_weights_are_told_apart(smoke: Run, found: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    train = likelihood(smoke, tmp_path / "a", "split=train", "method=[vlb]")["figures"][0]
    raw = likelihood(smoke, tmp_path / "b", "weights=raw", "method=[vlb]")["figures"][0]
    here = found[1]["figures"][0]
    assert train["protocol"]["pictures"] == "fashion_mini/train"
    assert train["protocol"]["pictures_digest"] != here["protocol"]["pictures_digest"]
    assert raw["value"] != here["value"]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_has_both_figures(schedule: str) -> None:
    """Of a network as it is before training, which knows nothing but the scale of the data."""
    cfg = OmegaConf.load(conf_dir() / "likelihood.yaml")
    cfg.vlb.update({"levels": 30, "levels_per_picture": 3})
    cfg.ode.update({"steps": 3, "twice": 1})
    net, node = MLP((1, 4, 4), 8, 1), OmegaConf.load(conf_dir() / "schedule" / f"{schedule}.yaml")
    assert isinstance(node, DictConfig) and isinstance(cfg, DictConfig)
    x0 = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x0 = ((x0 + 1) * 127.5).round() / 127.5 - 1
    denoiser = Denoiser(net, V(0.6), 0.6).eval().requires_grad_(False)
    protocol = {"n": 3, "schedule": assemble.describe(node)}
    subject = Subject(denoiser, build(node), x0, [0, 1, 2], protocol, 0, 8)
    flow = probability_flow(cfg, subject)
    assert 4 < flow.figure.value < 20
    for spacing in ("t", "logsnr"):
        cfg.vlb.spacing = spacing
        bound = variational(cfg, subject)
        assert bound.figure.value > 4 and bound.figure.error is not None
        assert bound.table is not None and 0 <= bound.table.prior < 0.1


def test_a_larger_choice_holds_the_smaller_one() -> None:
    images = Images(torch.arange(50, dtype=torch.uint8).reshape(50, 1, 1, 1))
    few, many = chosen(images, 5, 0), chosen(images, 500, 0)
    assert len(many[1]) == 50
    assert many[1][:5] == few[1] == few[0].pixels.flatten().tolist()
    assert chosen(images, 5, 1)[1] != few[1]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("method=[elbo]", "name vlb, ode or both"),
        ("method=[]", "name vlb, ode or both"),
        ("n=0", "n=0: it is a whole number, 1 or more"),
        ("split=test", "split=test: it is one of val, train"),
        ("vlb.levels=1", "vlb.levels=1"),
        ("vlb.variance=learned", "the network has no variance head"),
        ("vlb.sigma_min=0", "vlb.sigma_min=0: it is a number above 0"),
        ("ode.probes=0", "ode.probes=0"),
        ("ode.solver=rk5", "ode.solver=rk5: it is one of rk4, heun, adaptive"),
        ("sampler=heun", "'sampler' is not a setting of difflab likelihood"),
    ],
)
def test_misuse_is_refused_in_one_line(
    smoke: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str, words: str
) -> None:
    assert main(["likelihood", f"from={smoke.path}", f"out={tmp_path / 'out'}", override]) == 1
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_adaptive_solver_and_other_words_run(smoke: Run, tmp_path: Path) -> None:
    words = ("n=1", "ode.solver=adaptive", "ode.tolerance=1e-2", "ode.twice=0", "ode.dequantisation=truncated_normal")
    numbers = likelihood(smoke, tmp_path, *words, "ode.probe=gaussian", "vlb.levels_per_picture=null", "vlb.clip=false")
    bound, flow = numbers["figures"]
    assert flow["error"] is None and bound["error"] is None
    assert flow["protocol"]["solver"] == "adaptive(0.01)"
    assert bound["protocol"]["levels_per_picture"] is None
