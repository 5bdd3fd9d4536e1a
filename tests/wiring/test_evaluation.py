"""Figures while training: within their share of the time, without a trace in the weights, and the best one kept."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from difflab.callbacks.best import Best
from difflab.callbacks.ema import EmaWeights
from difflab.callbacks.evaluation import Evaluation, Plan
from difflab.callbacks.time_share import TimeShare
from difflab.cli import main
from difflab.errors import DifflabError
from difflab.generation import Generation
from difflab.grids import Nodes
from difflab.metrics.protocol import Figure
from difflab.runs.checkpoints import load_checkpoint
from difflab.runs.directory import Run, find_run, read_metrics, read_rows
from difflab.runs.weights import load_denoiser
from difflab.samplers import ddim
from difflab.tracking import Recorder
from tests.conftest import train
from tests.wiring.test_resume import killed_after

SHORT = ("logger=none", "train.total_nimg=256", "metrics.n=16", "metrics.reference_n=64", "callbacks.samples.n=4")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A short run with a proxy every optimiser step, that keeps its best."""
    often = ("callbacks.evaluation.proxy.every_nimg=64", "callbacks.evaluation.proxy.n=16")
    return train(tmp_path_factory.mktemp("runs"), *SHORT, *often, "callbacks.best.figure=fd")


def test_proxy_and_full_figures_are_other_curves(smoke: Run) -> None:
    rows = [{*row} for row in read_metrics(smoke)]
    assert {"proxy/fd_efficientnet_lite0/n=32/nfe=2", "proxy/kid_efficientnet_lite0/n=32/nfe=2"} <= set().union(*rows)
    assert "figures/fd_efficientnet_lite0/n=64" in set().union(*rows)


def test_every_figure_is_kept_with_its_error_and_protocol(smoke: Run) -> None:
    rows, curves = read_rows(smoke.figures), read_metrics(smoke)
    assert {row["protocol"]["nfe"] for row in rows} == {2, 4}
    for row in rows:
        assert row["error"] >= 0, row["name"]
        assert any(curve.get(row["row"]) == row["value"] for curve in curves if curve["nimg"] == row["nimg"])
    result = json.loads(smoke.result.read_text())["figures"]
    assert [{key: row[key] for key in result[0]} for row in rows if row["protocol"]["nfe"] == 4] == result


@pytest.mark.slow
def test_weights_do_not_depend_on_what_is_measured(measured: Run, tmp_path: Path) -> None:
    blind = train(tmp_path, *SHORT, "metrics=none")
    seen, unseen = (load_checkpoint(run.checkpoint) for run in (measured, blind))
    for key in ("state_dict", "ema"):
        assert seen[key].keys() == unseen[key].keys()
        assert all(torch.equal(seen[key][name], unseen[key][name]) for name in seen[key])


def test_the_best_average_is_kept_and_can_be_sampled(measured: Run, tmp_path: Path) -> None:
    best = load_checkpoint(measured.best)
    proxies = [r for r in read_rows(measured.figures) if r["row"].startswith("proxy/fd")]
    assert [row["nimg"] for row in proxies] == [64, 128, 192, 256], "the last weights compete too"
    assert best["figure"]["value"] == min(row["value"] for row in proxies)
    assert best["nimg"] == best["figure"]["protocol"]["nimg"]
    assert json.loads(measured.result.read_text())["best"]["figure"] == best["figure"]
    denoiser, checkpoint = load_denoiser(find_run(str(measured.best)))
    assert checkpoint["nimg"] == best["nimg"]
    assert all(torch.equal(p, best["ema"][name]) for name, p in denoiser.named_parameters())
    assert main(["sample", f"from={measured.best}", "n=2", f"out={tmp_path}"]) == 0
    assert json.loads((tmp_path / "samples.json").read_text())["nimg"] == best["nimg"]


ONE = torch.ones(2, dtype=torch.float64)
GENERATION = Generation(ddim, Nodes(ONE, ONE.cumsum(0).flip(0)), (1, 4, 4), {"nfe": 1})


class Clock:
    """Seconds that pass only when somebody works."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        patch.setattr("difflab.callbacks.time_share.time.monotonic", lambda: self.now)


def test_no_more_time_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    time = TimeShare(0.05, ["proxy"])
    for _ in range(100):  # a proxy of 4 s is due every 20 s
        clock.now += 20
        if time.allows("proxy", clock.now, estimate=1.0):
            with time.spending("proxy"):
                clock.now += 4
        assert time.total <= 0.05 * clock.now + 3  # the first was estimated 3 s too low
    assert 20 <= time.times["proxy"] <= 27
    assert not TimeShare(0.0, ["proxy"]).allows("proxy", 1e9, estimate=1e-3)
    assert TimeShare(None, ["proxy"]).allows("proxy", 0.0, estimate=1e9)


def test_another_session_goes_on_with_what_was_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    first, second = TimeShare(0.05, ["proxy", "full"]), TimeShare(0.05, ["proxy"])
    with first.spending("proxy"):
        clock.now += 4
    second.load_state_dict(first.state_dict())
    assert (second.total, second.times) == (4.0, {"proxy": 1})
    assert second.allows("proxy", 4 / 0.05 + 76, estimate=1e9)  # two of 4 s are 5 % of 160 s, the second one counted
    assert not second.allows("proxy", 4 / 0.05 + 75, estimate=1e-9)


class Timed(Evaluation):
    """An evaluation that takes as long as a table says instead of measuring."""

    def __init__(self, clock: Clock, costs: dict[str, float], plans: list[Plan]) -> None:
        self.plans, self.time, self.owed, self.left_out = plans, TimeShare(0.05, list(costs)), set(), 0
        self.end, self.best = TimeShare(None, list(costs)), Best(NoWeights(1), Recorder(Run(Path())), None, "proxy")
        self.clock, self.costs = clock, costs
        self.done: list[tuple[int, str]] = []
        self.rows: list[dict[str, float]] = []
        self.recorder: Any = self

    @property
    def wall_s(self) -> float:
        return self.clock.now

    def log(self, nimg: int, row: dict[str, float]) -> None:
        self.rows.append(row)

    def measure(self, module: Any, plan: Plan) -> list[Figure]:
        self.clock.now += self.costs[plan.kind]
        self.done.append((module.nimg, plan.kind))
        return []


def test_dear_figures_find_time_beside_cheap_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten images take 20 s; a proxy of 4 s is due every 10 images, figures of 60 s every 500 (1,000 s)."""
    clock = Clock(monkeypatch)
    plans = [Plan("proxy", GENERATION, 1, 10), Plan("full", GENERATION, 1, 500)]
    evaluation = Timed(clock, {"proxy": 4.0, "full": 60.0}, plans)
    trainer = pl.Trainer(accelerator="cpu", devices=1, logger=False, enable_progress_bar=False)
    for nimg in range(10, 4001, 10):
        clock.now += 20
        module = SimpleNamespace(nimg=nimg, nimg_before=nimg - 10, total_nimg=10**9, stepped=True)
        evaluation.on_train_batch_end(trainer, module, None, None, 0)
    assert evaluation.time.total <= 0.05 * clock.now + 60
    full = [nimg for nimg, kind in evaluation.done if kind == "full"]
    assert len(full) >= 2
    assert any(nimg % 500 for nimg in full), "what found no time is made up for before it is due again"
    assert {"left_out/proxy", "left_out/full"} <= {key for row in evaluation.rows for key in row}


def test_final_figures_are_made_where_training_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning has taken the module to the processor by then, whatever it was trained on."""
    evaluation = Timed(Clock(monkeypatch), {"full": 60.0}, [Plan("full", GENERATION, 1, None)])
    at: list[Any] = []
    module = SimpleNamespace(nimg=1, to=lambda device: at.append((device, list(evaluation.done))))
    trainer = pl.Trainer(accelerator="cpu", devices=1, logger=False, enable_progress_bar=False)
    evaluation.on_fit_end(trainer, module)
    assert (at, evaluation.done) == ([(trainer.strategy.root_device, [])], [(1, "full")])
    assert evaluation.end.total == 60.0


def figure(value: float, **protocol: Any) -> Figure:
    return Figure("fd_x", value, None, {"n": 16, "nimg": 1, **protocol})


class NoWeights(EmaWeights):
    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["ema"] = {}


def held_after(run: Run, name: str, *found: Figure, of: str = "proxy", kind: str = "proxy") -> float | None:
    module = SimpleNamespace(trainer=SimpleNamespace(is_global_zero=True), nimg=1)
    best = Best(NoWeights(1), Recorder(run), name, of)
    for each in found:
        best.consider(module, kind, [each], lambda value: "fd_x")
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
    assert held_after(run, "fd", figure(1.0, nimg=9), figure(2.0, nimg=10, kid_95_low=0.5)) == 1.0
    assert load_checkpoint(run.best)["figure"]["protocol"]["nimg"] == 1, "of equal ones the earlier is kept"
    assert capsys.readouterr().out == ""
    assert held_after(run, "fd", figure(2.0, n=99)) == 2.0
    assert "begins anew: fd_x is made otherwise now (n 16 / 99)" in capsys.readouterr().out
    assert held_after(run, "fd", figure(3.0, n=99, nfe=35)) == 3.0, "of two samplers the weights are not to be told"


def test_a_best_of_a_figure_that_is_not_measured_says_so_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Figure("kid_x", 1.0, None, {})
    assert held_after(Run(tmp_path), "recall", other, other) is None
    assert capsys.readouterr().out == "warning: no best.ckpt: the proxy figures are kid_x, not fd_x\n"


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


@pytest.mark.slow
def test_a_killed_run_ends_with_the_best_of_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kill comes after an evaluation that is later than the last checkpoint, and here the best so far."""
    often = ("callbacks.evaluation.proxy.every_nimg=64", "callbacks.evaluation.proxy.n=16", "callbacks.best.figure=kid")
    overrides = (*SHORT, *often, "callbacks.checkpoint.every_nimg=192", "train.total_nimg=320")
    whole = train(tmp_path / "whole", *overrides)
    with monkeypatch.context() as patch:
        killed_after(192, patch)
        with pytest.raises(RuntimeError, match="killed"):
            train(tmp_path / "cut", *overrides, "--debug")
    (cut,) = (Run(p) for p in (tmp_path / "cut").glob("*/*"))
    assert load_checkpoint(cut.checkpoint)["nimg"] == 192 < read_rows(cut.figures)[-1]["nimg"]
    assert main(["train", f"resume={cut.path}"]) == 0
    ours, theirs = load_checkpoint(cut.best), load_checkpoint(whole.best)
    assert (ours["nimg"], ours["figure"]) == (theirs["nimg"], theirs["figure"])
    assert all(torch.equal(ours["ema"][name], theirs["ema"][name]) for name in theirs["ema"])
    assert [(r["nimg"], r["row"], r["value"]) for r in read_rows(cut.figures)] == [
        (r["nimg"], r["row"], r["value"]) for r in read_rows(whole.figures)
    ]
