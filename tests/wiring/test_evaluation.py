"""Figures while training: within their share of the time, without a trace in the weights, and the best one kept."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from difflab.callbacks.best import Best
from difflab.callbacks.ema import EmaWeights
from difflab.callbacks.time_share import TimeShare
from difflab.checkpoints import load_checkpoint
from difflab.cli import main
from difflab.errors import DifflabError
from difflab.metrics.protocol import Figure
from difflab.runs import Run, find_run, read_metrics, read_rows
from difflab.tracking import Recorder
from difflab.weights import load_denoiser
from tests.conftest import train

SHORT = ("logger=none", "train.total_nimg=256", "metrics.n=16", "metrics.reference_n=64", "callbacks.samples.n=4")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A short run with a proxy every optimiser step, that keeps its best."""
    often = ("callbacks.evaluation.proxy.every_nimg=64", "callbacks.evaluation.proxy.n=16")
    return train(tmp_path_factory.mktemp("runs"), *SHORT, *often, "callbacks.best.figure=fd")


def test_proxy_and_full_figures_are_other_curves(smoke: Run) -> None:
    rows = [{*row} for row in read_metrics(smoke)]
    assert {"proxy/fd_efficientnet_lite0/n=32/nfe=2", "proxy/kid_efficientnet_lite0/n=32/nfe=2"} <= set().union(*rows)
    assert "fd_efficientnet_lite0/n=64" in rows[-1]


def test_every_figure_is_kept_with_its_error_and_protocol(smoke: Run) -> None:
    rows, curves = read_rows(smoke.figures), read_metrics(smoke)
    assert {row["protocol"]["nfe"] for row in rows} == {2, 4}
    for row in rows:
        assert row["error"] >= 0, row["name"]
        assert any(curve.get(row["row"]) == row["value"] for curve in curves if curve["nimg"] == row["nimg"])
    result = json.loads(smoke.result.read_text())["figures"]
    assert [{key: row[key] for key in result[0]} for row in rows if row["protocol"]["nfe"] == 4] == result


def test_weights_do_not_depend_on_what_is_measured(measured: Run, tmp_path: Path) -> None:
    blind = train(tmp_path, *SHORT, "metrics=none")
    seen, unseen = (load_checkpoint(run.checkpoint) for run in (measured, blind))
    for key in ("state_dict", "ema"):
        assert seen[key].keys() == unseen[key].keys()
        assert all(torch.equal(seen[key][name], unseen[key][name]) for name in seen[key])


def test_the_best_average_is_kept_and_can_be_sampled(measured: Run, tmp_path: Path) -> None:
    best = load_checkpoint(measured.best)
    proxies = [r for r in read_rows(measured.figures) if r["row"].startswith("proxy/fd")]
    assert len(proxies) == 3
    assert best["figure"]["value"] == min(row["value"] for row in proxies)
    assert best["nimg"] == best["figure"]["protocol"]["nimg"]
    denoiser, checkpoint = load_denoiser(find_run(str(measured.best)))
    assert checkpoint["nimg"] == best["nimg"]
    assert all(torch.equal(p, best["ema"][name]) for name, p in denoiser.named_parameters())
    assert main(["sample", f"from={measured.best}", "n=2", f"out={tmp_path}"]) == 0
    assert json.loads((tmp_path / "samples.json").read_text())["nimg"] == best["nimg"]


def test_no_more_time_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("difflab.callbacks.time_share.time.monotonic", lambda: clock[0])
    time = TimeShare(0.05)
    allowed = 0
    for _ in range(100):  # a proxy of 4 s is due every 20 s
        clock[0] += 20
        if time.allows("proxy", clock[0], estimate=1.0):
            allowed += 1
            with time.spending("proxy"):
                clock[0] += 4
        assert time.spent <= 0.05 * clock[0] + 3  # the first was estimated 3 s too low
    assert 20 <= allowed <= 26
    assert not TimeShare(0.0).allows("proxy", 1e9, estimate=1e-3)


def figure(value: float, **protocol: Any) -> Figure:
    return Figure("fd_x", value, None, {"n": 16, "nimg": 1, **protocol})


class NoWeights(EmaWeights):
    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["ema"] = {}


def held_after(run: Run, name: str, *found: Figure, of: str = "proxy", kind: str = "proxy") -> float | None:
    module = SimpleNamespace(trainer=SimpleNamespace(is_global_zero=True), nimg=1)
    best = Best(NoWeights(1), Recorder(run), name, of)
    for each in found:
        best.consider(module, kind, each)
    held = best.held()
    return held.value if held else None


def test_lower_distances_and_higher_shares_are_better(tmp_path: Path) -> None:
    values = [figure(v) for v in (3.0, float("nan"), 1.0, 2.0)]
    assert held_after(Run(tmp_path / "a"), "fd", *values) == 1.0
    assert held_after(Run(tmp_path / "b"), "recall", *values) == 3.0
    assert held_after(Run(tmp_path / "c"), "fd", *values, kind="full") is None


def test_a_resumed_run_remembers_its_best_unless_it_is_measured_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path)
    assert held_after(run, "fd", figure(1.0)) == 1.0
    assert held_after(run, "fd", figure(2.0, sampler="heun")) == 1.0, "how samples are made is what is compared"
    assert capsys.readouterr().out == ""
    assert held_after(run, "fd", figure(2.0, n=99)) == 2.0
    assert "begins anew: fd_x is measured otherwise now (n 16 / 99)" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "of"), [("fdd", "proxy"), ("fd", "prxy")])
def test_an_unknown_figure_or_kind_is_refused(name: str, of: str, tmp_path: Path) -> None:
    with pytest.raises(DifflabError, match=r"callbacks\.best\."):
        held_after(Run(tmp_path), name, of=of)


def test_a_proxy_of_a_figure_that_is_not_measured_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "experiment=smoke", f"runs={tmp_path}", "logger=none", "~figures.kid"]) == 1
    assert "callbacks.evaluation.proxy.figures names kid, but figures has" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
