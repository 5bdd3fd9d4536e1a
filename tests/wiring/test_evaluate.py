"""difflab evaluate: any pictures against any reference, each figure with its protocol, resumable and comparable."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from difflab import processes
from difflab.cli import main
from difflab.config.instantiate import build
from difflab.data.image_data import ImageData
from difflab.errors import DifflabError
from difflab.metrics.extractor import Reading
from difflab.runs.directory import Run
from difflab.scoring import score, shards
from tests.conftest import train

Capture = pytest.CaptureFixture[str]
# As of the smoke run: garments of 16x16.
DATA = ("data=fashion_mini", "data.shape=[1,16,16]", "metrics.reference_n=256")
QUICK = ("metrics.extractor.size=32", "figures.kid.subsets=5")


class Rows:
    """Stands in for the network, which is no part of this: means of the rows, of any picture."""

    names: ClassVar = {}
    name, dim, weights_sha256, batch = "rows", 16, "ab" * 32, 64

    def __init__(self, size: int) -> None:
        self.resize = f"to {size}"

    def __call__(self, images: torch.Tensor) -> Reading:
        return Reading(images.float().mean((1, 3)))


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and data that is loaded once."""
    monkeypatch.setattr("difflab.evaluate.data_of", loaded_once)
    monkeypatch.setattr("difflab.scoring.inspect_reference.data_of", loaded_once)
    if "slow" not in request.keywords and "with_network" not in request.fixturenames:
        monkeypatch.setattr(score, "build", lambda node: Rows(node["size"]) if "size" in node else build(node))


@pytest.fixture
def with_network() -> None:
    """Asked for by a test that wants the real one."""


LOADED: dict[str, ImageData | None] = {}


def loaded_once(cfg: DictConfig) -> ImageData | None:
    if str(cfg.data) not in LOADED:
        LOADED[str(cfg.data)] = score.data_of(cfg)
    return LOADED[str(cfg.data)]


def evaluate(tmp_path: Path, *overrides: str) -> list[dict[str, Any]]:
    """The figures that it writes."""
    out = tmp_path / "figures.json"
    assert main(["evaluate", f"out={out}", *QUICK, *overrides]) == 0
    return json.loads(out.read_text())["figures"]


def values(figures: list[dict[str, Any]]) -> dict[str, float]:
    return {f["name"]: f["value"] for f in figures if f["protocol"].get("role") != "floor"}


def refusal(capsys: Capture, *arguments: str) -> str:
    """The one line with which an evaluation fails."""
    capsys.readouterr()
    assert main(["evaluate", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


@pytest.fixture(scope="module")
def pictures(smoke: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 samples of the run as files."""
    out = tmp_path_factory.mktemp("sampled")
    assert main(["sample", f"from={smoke.path}", "n=48", "seed=1", f"out={out}"]) == 0
    return out


def test_run_is_scored_beside_its_floor(with_network: None, smoke: Run, tmp_path: Path, capsys: Capture) -> None:
    figures = evaluate(tmp_path, f"from={smoke.path}", "n=48")
    floor = [f for f in figures if f["protocol"].get("role") == "floor"]
    made = figures[: len(figures) - len(floor)]
    assert (
        {f["name"] for f in made} == {f["name"] for f in floor} >= {"fd_efficientnet_lite0", "kid_efficientnet_lite0"}
    )
    assert all(f["protocol"]["n"] == 48 for f in figures)
    assert floor[0]["protocol"]["source"] == "fashion_mini/val"
    assert floor[0]["value"] < made[0]["value"]
    told = made[0]["protocol"]
    assert {"nfe": 4, "weights": "ema", "sample_seed": 1, "nimg": 2048, "flips": "none"}.items() <= told.items()
    assert told["source"] == f"smoke/{smoke.path.name}"
    assert {len(told[key]) for key in ("weights_sha256", "reference_digest", "source_digest")} == {64}
    written = capsys.readouterr().out
    assert written.count("fd_efficientnet_lite0") == 2
    assert f"figures: {tmp_path / 'figures.json'}" in written


def test_the_same_pictures_as_files_and_as_an_array_score_the_same(smoke: Run, pictures: Path, tmp_path: Path) -> None:
    files = [np.array(p) for p in torch.stack(load(pictures)).numpy()]
    np.savez(tmp_path / "samples.npz", arr_0=np.stack(files)[..., None])
    of_run = values(evaluate(tmp_path, f"from={smoke.path}", "n=48", "floor=false"))
    for source in (pictures, tmp_path / "samples.npz"):
        figures = evaluate(tmp_path, f"from={source}", "floor=false", *DATA)
        assert figures[0]["protocol"]["n"] == 48
        # In another order, by which subsets for KID are drawn.
        assert values(figures)["fd_rows"] == pytest.approx(of_run["fd_rows"], rel=1e-5)
    assert figures[0]["protocol"]["source"] == "samples"


def load(folder: Path) -> list[torch.Tensor]:
    from PIL import Image

    return [torch.from_numpy(np.array(Image.open(p))) for p in sorted(folder.glob("0*.png"))]


def test_it_goes_on_where_it_was_stopped(smoke: Run, tmp_path: Path, capsys: Capture, monkeypatch: Any) -> None:
    monkeypatch.setattr(shards, "SHARD", 16)
    overrides = (f"from={smoke.path}", "seed=5", "floor=false")
    kept, done = shards.Shards._keep, []

    def stop_after_two(self: Any, shard: Any, alone: bool) -> None:
        kept(self, shard, alone)
        done.append(shard)
        if len(done) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(shards.Shards, "_keep", stop_after_two)
    assert main(["evaluate", *QUICK, *overrides, "n=50", f"out={tmp_path / 'no.json'}"]) == 130
    assert not (tmp_path / "no.json").exists()
    monkeypatch.setattr(shards.Shards, "_keep", kept)
    first = evaluate(tmp_path, *overrides, "n=50")
    assert "shards: 2 of 4 found" in capsys.readouterr().out
    assert evaluate(tmp_path, *overrides, "n=50", "batch=7") == first
    assert "shards: 4 of 4 found" in capsys.readouterr().out
    evaluate(tmp_path, *overrides, "n=70")
    assert "shards: 3 of 5 found" in capsys.readouterr().out


def test_figures_beside_others(smoke: Run, pictures: Path, tmp_path: Path, capsys: Capture) -> None:
    before = tmp_path / "before.json"
    evaluate(tmp_path, f"from={smoke.path}", "n=48", "weights=raw").copy()
    (tmp_path / "figures.json").rename(before)
    capsys.readouterr()
    evaluate(tmp_path, f"from={smoke.path}", "n=48", f"against={before}", "strict=true")
    table = capsys.readouterr().out.partition("here and")[2]
    assert table.count("yes") == len(values(json.loads(before.read_text())["figures"]))
    assert "NO" not in table
    evaluate(tmp_path, f"from={pictures}", "n=40", f"against={before}", *DATA)
    assert "NO: n 40 / 48" in capsys.readouterr().out
    error = refusal(capsys, f"from={smoke.path}", "n=40", f"against={before}", "strict=true", *QUICK)
    assert "different protocols (n 40 / 48)" in error
    error = refusal(
        capsys, f"from={smoke.path}", "n=48", f"against={before}", "strict=true", "metrics.extractor.size=64"
    )
    assert "resize to 64 / to 32" in error


def test_result_of_training_can_be_compared_with(smoke: Run, tmp_path: Path, capsys: Capture) -> None:
    figures = tmp_path / "result.json"
    figures.write_text(smoke.result.read_text().replace("efficientnet_lite0", "rows"))
    evaluate(tmp_path, f"from={smoke.path}", "n=64", f"against={figures}")
    table = capsys.readouterr().out.partition("here and")[2]
    assert "fd_rows" in table
    assert "weights_sha256 abababab / 57934424" in table.replace("│", " ").replace("\n", " ").replace("  ", "")


def test_reference_alone_is_built_found_and_exported(pictures: Path, tmp_path: Path, capsys: Capture) -> None:
    export = tmp_path / "statistics.npz"
    inspect = ("reference=val", *DATA, *QUICK)
    assert main(["evaluate", *inspect]) == 0
    built = capsys.readouterr().out
    assert "computed now" in built
    assert main(["evaluate", *inspect, f"export={export}"]) == 0
    found = capsys.readouterr().out
    assert "MB, found" in found
    assert built.splitlines()[-1] == found.splitlines()[-1], "the same file"
    by_pictures = values(evaluate(tmp_path, f"from={pictures}", "reference=val", *DATA))
    by_statistics = evaluate(tmp_path, f"from={pictures}", f"reference={export}")
    assert values(by_statistics)["fd_rows"] == pytest.approx(by_pictures["fd_rows"], rel=1e-5)
    assert by_statistics[0]["protocol"]["reference"] == "statistics.npz (statistics)"
    assert "kid_rows" not in values(by_statistics)


def test_reference_of_pictures(smoke: Run, pictures: Path, tmp_path: Path) -> None:
    figures = evaluate(tmp_path, f"from={pictures}", f"reference={pictures}", "flips=true")
    assert (figures[0]["protocol"]["reference_n"], figures[0]["protocol"]["flips"]) == (96, "reference")
    itself = values(evaluate(tmp_path, f"from={pictures}", f"reference={pictures}"))
    assert abs(itself["fd_rows"]) < 1e-6 * values(figures)["fd_rows"]
    of_run = evaluate(tmp_path, f"from={smoke.path}", "n=48", f"reference={pictures}", "floor=false")
    assert values(of_run)["fd_rows"] == pytest.approx(0, abs=1e-3)


def test_npz_with_both_is_read_by_what_fits_the_extractor(pictures: Path, tmp_path: Path) -> None:
    both = tmp_path / "both.npz"
    np.savez(both, arr_0=torch.stack(load(pictures)).numpy()[..., None], mu=np.zeros(16), sigma=np.eye(16))
    assert "(statistics)" in evaluate(tmp_path, f"from={pictures}", f"reference={both}")[0]["protocol"]["reference"]
    np.savez(both, arr_0=torch.stack(load(pictures)).numpy()[..., None], mu=np.zeros(2048), sigma=np.eye(2048))
    assert evaluate(tmp_path, f"from={pictures}", f"reference={both}")[0]["protocol"]["reference"] == "both"


def test_bad_words_are_refused_and_nothing_is_written(
    smoke: Run, pictures: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "small.npz", mu=np.zeros(7), sigma=np.eye(7))
    run, folder = f"from={smoke.path}", f"from={pictures}"
    before = sorted(smoke.path.rglob("*"))
    for arguments, words in (
        ([], "from= is missing"),
        (["from=nowhere"], "from=nowhere: there is no such run"),
        ([folder], "data= is missing"),
        ([folder, *DATA, "sampler=heun"], "nothing to sample with; leave sampler out"),
        ([folder, "data=fashion_mini"], "16x16 pixels"),
        ([folder, *DATA, "n=49"], "has 48 pictures"),
        ([folder, *DATA, "n=1"], "2 pictures or more, here 1"),
        ([folder, *DATA, "n=many"], "n=many"),
        ([folder, *DATA, "resize=stretch"], "resize=stretch"),
        ([folder, *DATA, "metrics=none"], "metrics=none"),
        ([folder, *DATA, "metrcs=none"], "'metrcs' is not a setting"),
        ([folder, "reference=small.npz"], "statistics of 7 features, rows gives 16"),
        ([folder, "reference=elsewhere"], "reference=elsewhere"),
        ([run, "weights=best"], "weights=best"),
        ([run, "n=1"], "here 1"),
        ([run, "against=nowhere"], "against=nowhere"),
        (["reference=train", *DATA, "export=statistics.pt"], "statistics go into an .npz"),
    ):
        assert words in refusal(capsys, *arguments), arguments
    assert sorted(smoke.path.rglob("*")) == before
    assert [p.name for p in tmp_path.iterdir()] == ["small.npz"]


# A run of seconds, and how it is scored.
YOUNG = ("logger=none", "metrics=none", "train.total_nimg=64")
SCORED = ("metrics=efficientnet_lite0", "metrics.reference_n=64")


def command(*overrides: str) -> list[str]:
    return [sys.executable, "-m", "difflab.cli", "evaluate", *QUICK, "floor=false", *overrides]


def clean() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k not in ("DIFFLAB_RUN", "RANK", "WORLD_SIZE")}


@pytest.mark.slow
def test_one_process_two_and_torchrun_over_gloo_give_the_same_figures(tmp_path: Path) -> None:
    run = train(tmp_path, *YOUNG)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    found = {}
    for name, start, *more in (
        ("one", [], "trainer.devices=1"),
        ("two", [], "trainer.devices=2"),
        ("gloo", torchrun, "seed=1"),
        ("batch", [], "batch=24"),
    ):
        out = tmp_path / f"{name}.json"
        for folder in (run.path / "evaluations").glob("shards/*"):
            folder.rename(tmp_path / f"{folder.name}-before-{name}")
        arguments = command(*SCORED, f"from={run.path}", "n=600", f"out={out}", *more)
        arguments = [*start, *arguments[1:]] if start else arguments
        done = subprocess.run(arguments, env=clean(), capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        assert "shards: 0 of 3 found" in done.stdout
        found[name] = values(json.loads(out.read_text())["figures"])
    assert found["one"] == found["two"] == found["gloo"]
    assert found["batch"] == pytest.approx(found["one"], rel=1e-5)


@pytest.mark.slow
def test_killed_evaluation_goes_on(tmp_path: Path) -> None:
    run = train(tmp_path, *YOUNG)
    overrides = (*SCORED, f"from={run.path}", "n=1200", "sampler=ddim", "grid.steps=20")
    process = subprocess.Popen(command(*overrides), env=clean(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(list(run.path.glob("evaluations/shards/*/[0-9]*.npz"))) < 1:
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = len(list(run.path.glob("evaluations/shards/*/[0-9]*.npz")))
    done = subprocess.run(command(*overrides), env=clean(), capture_output=True, text=True, timeout=240)
    assert f"shards: {kept} of 5 found" in done.stdout
    assert kept < 5


def fails(cfg: Any, rank: int, world: int, check: processes.Check) -> None:
    raise DifflabError("no more room")


def is_killed(cfg: Any, rank: int, world: int, check: processes.Check) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def never_ends(cfg: Any, rank: int, world: int, check: processes.Check) -> None:
    time.sleep(1000)


@pytest.mark.slow
@pytest.mark.parametrize(("work", "code"), [(fails, 1), (is_killed, -9)])
def test_process_that_fails_ends_the_work_of_the_others(work: processes.Work, code: int, capfd: Capture) -> None:
    cfg = OmegaConf.create({"trainer": {"devices": 2}})

    def own(rank: int, world: int, check: processes.Check) -> None:
        for _ in range(600):
            check()
            time.sleep(0.1)

    with pytest.raises(DifflabError, match=rf"process 2 of 2 has stopped \(exit code {code}\)"):
        processes.share(own, work, cfg)
    assert ("difflab: process 2 of 2: no more room" in capfd.readouterr().err) == (code == 1)


@pytest.mark.slow
def test_first_process_that_fails_ends_the_others() -> None:
    def own(rank: int, world: int, check: processes.Check) -> None:
        raise DifflabError("no more room")

    start = time.monotonic()
    with pytest.raises(DifflabError, match="no more room"):
        processes.share(own, never_ends, OmegaConf.create({"trainer": {"devices": 2}}))
    assert time.monotonic() - start < 60
