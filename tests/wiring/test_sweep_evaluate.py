"""A sweep of evaluations: every combination scored in one process, what failed said, what is finished skipped."""

import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from PIL import Image

from difflab.cli import main
from difflab.config.instantiate import build
from difflab.errors import DifflabError
from difflab.files import conf_dir
from difflab.metrics.extractor import Reading
from difflab.metrics.protocol import Figure
from difflab.runs import directory
from difflab.runs.directory import Run
from difflab.scoring import score
from difflab.sweeps import scoring
from difflab.sweeps.axis import number
from difflab.sweeps.best import best, cheapest
from difflab.sweeps.curves import plots
from difflab.sweeps.folder import Job
from difflab.sweeps.table import Row

Capture = pytest.CaptureFixture[str]
QUICK = ("metrics.extractor.size=32", "metrics.reference_n=64", "figures=fast", "figures.kid.subsets=2", "n=16")


class Rows:
    """Stands in for the network of the features: means of the rows, of any picture."""

    names: ClassVar = {}
    name, dim, weights_sha256, batch, resize = "rows", 16, "ab" * 32, 64, "none"

    def __call__(self, images: torch.Tensor) -> Reading:
        return Reading(images.float().mean((1, 3)))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "build", lambda node: Rows() if "size" in node else build(node))
    monkeypatch.setattr(scoring, "SHOWN", 16)


@pytest.fixture(scope="module")
def run(smoke: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(Path(shutil.copytree(smoke.path, tmp_path_factory.mktemp("runs") / "smoke" / "run")))


def sweep(run: Run, runs: Path, *words: str) -> tuple[int, Path]:
    """Its exit code and its folder."""
    code = main(["evaluate", "-m", f"from={run.path}", f"runs={runs}", *QUICK, *words])
    (folder,) = (runs / "sweeps").iterdir()
    return code, folder


def test_a_model_that_comes_with_difflab_keeps_its_default(
    smoke: Run, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(directory, "embedded_dir", lambda: smoke.path.parent)
    monkeypatch.chdir(tmp_path)
    assert sweep(smoke, tmp_path / "runs", "nfe=2,3", "choose=true")[0] == 0
    assert f"the default of {smoke.path} stays: it comes with difflab" in capsys.readouterr().out
    assert not smoke.sampler.exists()


def states(folder: Path) -> list[str]:
    return [json.loads(path.read_text())["state"] for path in sorted(folder.glob("jobs/*/status.json"))]


def refusal(capsys: Capture, *words: str) -> str:
    capsys.readouterr()
    assert main(["evaluate", *words]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.slow
def test_each_job_is_what_a_plain_evaluation_says(
    quick: None, run: Run, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One job can't be paid for; data and reference are loaded once; the second start does nothing again."""
    loaded: list[str] = []
    suite_against = scoring.suite_against
    monkeypatch.setattr(scoring, "suite_against", lambda *a: loaded.append("") or suite_against(*a))
    words = ("sampler=ddim,heun", "nfe=1,5", "guidance=autoguidance", "metrics.n=32")
    code, folder = sweep(run, tmp_path, *words)
    out = capsys.readouterr().out
    assert (code, len(loaded)) == (1, 1)
    assert states(folder) == ["failed", "finished", "failed", "finished"]
    assert "2 of 4: sampler=ddim nfe=5\n" in out
    assert "failed: nfe=1 is too small: ddim on Karras with Autoguidance takes 2 in its fewest steps" in out
    found = json.loads((folder / "sweep.json").read_text())
    assert (found["verb"], found["x"], found["swept"]) == ("evaluate", "nfe", ["sampler", "nfe"])
    assert [job["folder"] for job in found["jobs"]][3] == "jobs/003-sampler=heun,nfe=5"
    result = json.loads((folder / "jobs/003-sampler=heun,nfe=5/result.json").read_text())
    assert [f["protocol"].get("role") for f in result["figures"]] == [None, None, "floor", "floor"]
    assert (result["figures"][0]["protocol"]["nfe"], result["figures"][0]["protocol"]["n"]) == (2, 16)
    assert Image.open(folder / "jobs/003-sampler=heun,nfe=5/grid.png").size == (4 * 32, 4 * 32)
    assert Image.open(folder / "figure_against_nfe.png").width > 600
    plain = tmp_path / "plain.json"
    one = (f"from={run.path}", *QUICK, "sampler=heun", "nfe=5", "guidance=autoguidance", f"out={plain}")
    assert main(["evaluate", *one]) == 0
    assert json.loads(plain.read_text())["figures"] == result["figures"]
    capsys.readouterr()
    assert sweep(run, tmp_path, *words)[0] == 1
    assert "4 of 4: sampler=heun nfe=5 is finished\n" in capsys.readouterr().out
    assert not run.sampler.exists()


@pytest.mark.slow
def test_interrupted_it_goes_on_where_it_was(
    quick: None, run: Run, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = scoring.Scoring.score

    def interrupted(self: scoring.Scoring, cfg: Any, out: Path) -> None:
        if cfg.nfe == 3:
            raise KeyboardInterrupt
        made(self, cfg, out)

    with monkeypatch.context() as patch:
        patch.setattr(scoring.Scoring, "score", interrupted)
        code, folder = sweep(run, tmp_path, "nfe=2,3,4", "choose=true")
    assert (code, states(folder)) == (130, ["finished", "stopped", "waiting"])
    assert not run.sampler.exists()
    capsys.readouterr()
    assert sweep(run, tmp_path, "nfe=2,3,4", "choose=true") == (0, folder)
    out = capsys.readouterr().out
    assert "1 of 3: nfe=2 is finished\n2 of 3: nfe=3\n3 of 3: nfe=4\n" in out
    assert states(folder) == ["finished"] * 3
    run.checkpoint.touch()
    assert sweep(run, tmp_path, "nfe=2,3,4", "choose=true")[0] == 0
    assert "is finished" not in capsys.readouterr().out  # the weights are newer than the figures
    assert main(["sample", f"from={run.path}", "n=2", f"out={tmp_path / 'out'}"]) == 0
    assert f"chosen by {folder}" in capsys.readouterr().out
    run.sampler.unlink()


def figure(value: float, error: float | None, nfe: int | None, name: str = "fd_rows", **protocol: Any) -> Figure:
    return Figure(name, float(value), None if error is None else float(error), {"n": 64, "nfe": nfe, **protocol})


@pytest.mark.parametrize(
    ("figures", "top", "chosen"),
    [
        ([figure(10, 1, 40), figure(11, 1, 20), figure(13, 1, 10)], 0, 1),  # 1 is within sqrt(2), 3 is not
        ([figure(10, 1, 40), figure(11.5, 1, 20), figure(11.5, 2, 10)], 0, 2),  # 1.5 is within sqrt(5) alone
        ([figure(10, 1, 40), figure(10.9, 1, 20), figure(10.3, 1, 20)], 0, 2),  # of the same cost the nearer
        ([figure(10, None, 40), figure(10.1, None, 20), figure(10, None, 30)], 0, 2),
        ([figure(10, 1, None), figure(10.5, 1, 40)], 0, 1),
        ([figure(float("nan"), 1, 5), figure(10, 1, 40)], 1, 1),
        ([figure(0.7, 0.1, 5, "recall_rows"), figure(0.9, 0.1, 9, "recall_rows")], 1, 1),
        ([figure(0.7, 0.1, 5, "recall_rows"), figure(0.8, 0.1, 9, "recall_rows")], 1, 0),
    ],
)  # fmt: skip
def test_the_cheapest_within_one_error_of_the_best(figures: list[Figure], top: int, chosen: int) -> None:
    assert (best(figures), cheapest(figures)) == (top, chosen)


def test_other_protocols_are_never_compared() -> None:
    figures = [figure(10, 1, 40), figure(9, 1, 20, n=128)]
    for choice in (best, cheapest):
        with pytest.raises(DifflabError, match=r"n 64 / 128"):
            choice(figures)
    with pytest.raises(DifflabError, match="no job"):
        best([figure(float("nan"), 1, 5)])
    with pytest.raises(DifflabError, match=r"n 64 / 128"):
        plots("nfe", [Row(job(i, nfe=str(i)), [f]) for i, f in enumerate(figures)])


def job(i: int, **overrides: str) -> Job:
    return Job(i, Path(), [], overrides)


def test_a_line_for_each_of_the_other_keys_and_a_level_for_what_has_no_number() -> None:
    rows = [
        Row(job(0, weights="ema"), [figure(7, 1, 5)]),
        Row(job(1, weights="power:0.1"), [figure(5, 1, 5)]),
        Row(job(2, weights="power:0.05"), [figure(6, None, 5)]),
    ]
    (plot,) = plots("weights", rows)
    assert [(line.label, [tuple(p) for p in line.points]) for line in plot.lines] == [
        ("figure", [(0.05, 6, 0), (0.1, 5, 1)])
    ]
    assert [(level.label, level.value) for level in plot.levels] == [("weights=ema", 7)]
    rows = [Row(job(i, sampler=s, nfe=str(n)), [figure(1, 1, n - 1)]) for i, (s, n) in enumerate([("a", 6), ("b", 4)])]
    (plot,) = plots("nfe", rows)
    assert [(line.label, line.points[0].x) for line in plot.lines] == [("sampler=a", 5), ("sampler=b", 3)]
    assert [number(word) for word in ("20", "power:0.08", "ema", "[0,1]")] == [20, 0.08, None, None]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-m", "-j", "2", "nfe=2,3"], "leave -j and torchrun out"),
        (["-m", "launcher=slurm", "nfe=2,3"], "leave launcher and search out"),
        (["-m", "nfe=2,3", "out=a.json"], "are of a single evaluation"),
        (["-m", "sampler=heum,ddim"], "there is no such sampler, did you mean 'heun'"),
        (["-m", "sweep=samplers", "nfe=4"], "draws figures against nfe"),
        (["-m", "sweep=schedules"], "of another verb"),
        (["choose=true"], "one evaluation leaves no choice"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(
    words: list[str], says: str, run: Run, tmp_path: Path, capsys: Capture
) -> None:
    assert says in refusal(capsys, *words, f"from={run.path}", f"runs={tmp_path}")
    assert not list(tmp_path.iterdir())


def test_two_runs_have_no_common_default(run: Run, tmp_path: Path, capsys: Capture) -> None:
    assert "is not one run" in refusal(capsys, "-m", f"from={run.path},{run.checkpoint}", "choose=true")


SMALL = {
    "samplers": ("sampler=ddim,heun", "nfe=2,3"),
    "guidance": ("guidance.scale=1.0,2.0", "guidance.interval=[0.0,inf]"),
    "ema": ("weights=ema,power:0.03,power:0.1",),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_named_sweep_runs_from_end_to_end(name: str, quick: None, run: Run, tmp_path: Path) -> None:
    code, folder = sweep(run, tmp_path, f"sweep={name}", *SMALL[name])
    assert (code, set(states(folder))) == (0, {"finished"})
    assert folder.name.startswith(f"{name}-run-")
    assert len(list(folder.glob("figure_against_*.png"))) == 1
    assert run.sampler.exists() == (name == "samplers")
    run.sampler.unlink(missing_ok=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "word", "jobs"), [("samplers", "nfe=2,3", 20), ("guidance", "nfe=4", 10), ("ema", "weights=ema,raw", 2)]
)
def test_named_sweep_with_all_that_it_names(
    name: str, word: str, jobs: int, quick: None, run: Run, tmp_path: Path
) -> None:
    code, folder = sweep(run, tmp_path, f"sweep={name}", word)
    assert (code, states(folder)) == (0, ["finished"] * jobs)
    run.sampler.unlink(missing_ok=True)


def test_every_named_sweep_of_evaluations_is_tested() -> None:
    of_evaluate = [path.stem for path in (conf_dir() / "sweep").glob("*.yaml") if "verb: evaluate" in path.read_text()]
    assert sorted(of_evaluate) == sorted(SMALL)
