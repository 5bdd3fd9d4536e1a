"""`difflab report`: what the page says of a run, of a sweep and of several runs, whatever is missing. No browser."""

import json
import re
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import plotly.graph_objects
import pytest

from difflab.bands.comparable import BandCurve
from difflab.bands.verdict import Verdict
from difflab.cli import main
from difflab.config.compose import compose
from difflab.metrics.protocol import Figure
from difflab.report import write
from difflab.report.columns import columns
from difflab.report.curves import in_short
from difflab.report.draw import log_ticks
from difflab.report.gather import read_run
from difflab.report.groups import differing, read_sweep
from difflab.report.origin import origin
from difflab.report.parallel import _apart
from difflab.report.points import MOST, thinned
from difflab.report.run_page import run_page
from difflab.runs import directory
from difflab.runs.directory import Run
from tests.made_runs import WARNING, figure, made_run, sweep_folder

DATA = r'<script type="application/json">(.*?)</script>'


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only to be read."""
    return made_run(tmp_path_factory.mktemp("runs") / "20261125-101500-000000")


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A run that a test may damage."""
    return Path(shutil.copytree(run, tmp_path / run.name))


def text_of(path: Path) -> str:
    return write(path).read_text()


def plots(page: str) -> dict[str, dict[str, Any]]:
    """The plots of a page by their titles."""
    found = re.findall(
        r'<figure class="plot.*?<h3>(.*?)</h3>.*?<script type="application/json">(.*?)</script>', page, re.S
    )
    return {title: json.loads(spec) for title, spec in found}


def frames(page: str, name: str) -> list[str]:
    """Labels of a slider's pictures."""
    found = re.search(rf'<figure class="player" id="{name}".*?</figure>', page, re.S)
    assert found
    return json.loads(re.findall(DATA, found[0], re.S)[1])


def test_run_ends_with_a_report(smoke: Run) -> None:
    page = (smoke.path / "report.html").read_text()
    result = json.loads(smoke.result.read_text())
    assert "<dd><b>2,048</b> <span>of 2,048</span>" in page
    assert "<code>difflab train experiment=smoke</code>" in page
    assert "The experiment smoke as it is shipped." in page
    for each in result["figures"]:
        assert f'<th scope="row">{each["name"]}</th><td class="num">{each["value"]:.4g}</td>' in page
    assert {"Training loss", "Learning rate", "Gradient norm", "Error by noise level"} <= set(plots(page))
    assert frames(page, "grids") == ["1,024 images seen", "2,048 images seen"]
    assert frames(page, "film") == [f"state {i} of 5" for i in range(1, 6)]


def test_headline_is_the_figure_with_its_error_and_protocol(run: Path) -> None:
    page = text_of(run)
    assert "<dt>fd_x</dt><dd><b>12.34</b> <span>± 1</span></dd>" in page
    assert "<summary>fd_x: n=8 vs emoji/train 100, 4 NFE</summary>n=8 vs emoji/train 100, x@None, none" in page
    assert f"Warning: {WARNING}" in page
    assert "1 min 2 s</b> <span>315 images/s" in page
    assert "· 25 November 2026, 10:15 · git " in page
    assert version("torch") in page
    assert '<th scope="row">recall_x</th><td class="num">0.5</td>' in page
    assert '<td class="quiet">recall_k=3</td>' in " ".join(page.split())


def test_report_asks_for_nothing(run: Path) -> None:
    own = re.sub(r"<script.*?</script>", "", text_of(run), flags=re.S)
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', own)
    assert "@import" not in own
    assert "url(" not in own
    assert "default-src 'none'" in own


def test_curves_have_their_rows_and_errors(run: Path) -> None:
    found = plots(text_of(run))
    (loss,) = found["Training loss"]["data"]
    rows = read_run(run).rows
    assert (loss["x"], loss["y"]) == ([row["nimg"] for row in rows], [round(row["train/loss"], 5) for row in rows])
    assert [t["name"] for t in found["Error by noise level"]["data"]][::7] == ["logsnr -8 to -6", "logsnr +6 to +8"]
    (proxy,) = found["Proxy: fd_x/n=8/nfe=2"]["data"]
    assert (proxy["y"][:2], proxy["error_y"]["array"][:2]) == ([100, 50], [1, 1])


def test_plots_are_what_plotly_takes(run: Path) -> None:
    """Every attribute is known to plotly; colours are names that the page fills in."""
    for spec in plots(text_of(run)).values():
        plain = json.loads(re.sub(r'"(--\d(/[\d.]+)?|mix:[\d.]+)"', '"#000000"', json.dumps(spec)))
        plotly.graph_objects.Figure(plain)


def test_pictures_are_labelled_by_images_seen(run: Path) -> None:
    page = text_of(run)
    assert frames(page, "grids") == ["1,024 images seen", "2,048 images seen"]
    assert 'alt="samples, 2,048 images seen"' in page


@pytest.mark.parametrize(
    "gone",
    [
        ["result.json"], ["samples"], ["metrics.jsonl"], ["figures.jsonl"],
        ["result.json", "figures.jsonl"], ["result.json", "figures.jsonl", "samples", "metrics.jsonl"],
    ],
)  # fmt: skip
def test_whatever_is_missing_is_left_out(gone: list[str], copy: Path) -> None:
    for name in gone:
        path = copy / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    page = text_of(copy)
    assert "<h1>smoke</h1>" in page
    assert ("This run has not ended" in page) == ("result.json" in gone)
    assert ('id="samples"' in page) == ("samples" not in gone)
    assert ("Training loss" in plots(page)) == ("metrics.jsonl" not in gone)


def test_damaged_files_are_said(copy: Path) -> None:
    (copy / "result.json").write_text('{"figures": [')
    (copy / "evaluations").mkdir()
    (copy / "evaluations" / "a.json").write_text("[]")
    with (copy / "figures.jsonl").open("a") as file:
        file.write('{"nimg": 2048}\n')
    page = text_of(copy)
    assert "result.json can&#39;t be read (JSONDecodeError)" in page
    assert "a.json holds no object" in page
    assert "figures.jsonl has a row that is no figure" in page


def test_half_a_picture_is_left_out(copy: Path) -> None:
    for name in ("nimg=000001024.png", "reverse.gif"):
        path = copy / "samples" / name
        path.write_bytes(path.read_bytes()[:60])
    page = text_of(copy)
    assert frames(page, "grids") == ["2,048 images seen"]
    assert 'id="film"' not in page


def test_grids_that_are_too_many_are_thinned_evenly(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = copy / "samples" / "nimg=000001024.png"
    for nimg in range(1100, 2000, 100):
        shutil.copy(first, copy / "samples" / f"nimg={nimg:09d}.png")
    largest = max(path.stat().st_size for path in (copy / "samples").glob("nimg*"))
    monkeypatch.setattr("difflab.report.pictures.BUDGET", 4 * largest)
    page = text_of(copy)
    assert [label.split()[0] for label in frames(page, "grids")] == ["1,200", "1,500", "1,800", "2,048"]
    assert "4 of 11 grids." in page


def test_nan_infinity_and_old_rows_still_give_a_page(copy: Path) -> None:
    rows = [
        {
            "nimg": 64,
            "wall_s": 1.0,
            "loss": float("nan"),
            "train/loss": float("inf"),
            "x0_mse/logsnr=-8..-6": float("nan"),
        },
        {"nimg": 128, "wall_s": 2.0, "loss": 0.5, "train/loss": 0.25, "proxy/fd_old/n=8": 3.0, "note": "text"},
        {"nimg": 192, "wall_s": 3.0, "loss": 0.4, "train/loss": 0.125, "proxy/fd_old/n=8": 2.0},
    ]
    (copy / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"nimg": 256, "lo')
    found = plots(text_of(copy))
    assert found["Training loss"]["data"][0]["y"] == [None, 0.25, 0.125]
    assert found["loss"]["data"][0]["y"] == [None, 0.5, 0.4]
    assert found["proxy/fd_old/n=8"]["data"][0]["y"] == [3, 2]


def test_a_figure_of_nan_is_shown_as_such(copy: Path) -> None:
    result = json.loads((copy / "result.json").read_text())
    result["figures"][0] |= {"value": float("nan"), "error": None}
    (copy / "result.json").write_text(json.dumps(result))
    assert f"<dt>{result['figures'][0]['name']}</dt><dd><b>nan</b></dd>" in text_of(copy)


def test_text_of_others_is_no_html(copy: Path) -> None:
    evil = "<script>alert(1)</script></script>"
    config = (copy / "config.yaml").read_text().replace("fashion_mini\n", f"'{evil}'\n")
    (copy / "config.yaml").write_text(config)
    row = {"nimg": 64, f"{evil}": 1.0}
    (copy / "metrics.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(row | {"nimg": 128}) + "\n")
    page = text_of(copy)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_proxy_of_another_protocol_is_another_line(copy: Path) -> None:
    def row(nimg: int, n: int) -> str:
        return json.dumps({"nimg": nimg, "row": "proxy/fd_x/n=8/nfe=2", **figure("fd_x", 10.0, n=n)}) + "\n"

    (copy / "figures.jsonl").write_text(row(64, 8) + row(128, 8) + row(192, 16))
    page = text_of(copy)
    lines = plots(page)["Proxy: fd_x/n=8/nfe=2"]["data"]
    assert [(line["name"], line["x"]) for line in lines] == [("protocol 1", [64, 128]), ("protocol 2", [192])]
    assert "Its protocol changed at 192 images: n 8 / 16" in page
    assert lines[0]["error_y"]["array"] == [1, 1]


def test_reference_band_is_drawn_with_its_verdict(run: Path) -> None:
    band = BandCurve(nimg=[0, 1000, 2000], ends=[0, 1000, 2000], low=[0.1, 0.2, float("nan")], high=[0.3, 0.4, 0.5])
    verdict = Verdict("inside", "on track: 5 of 5 curves inside")
    bands = {"train/loss": band, "x0_mse/logsnr=-2..+0": band}
    page = run_page(read_run(run), run, bands, verdict)
    assert '<p class="verdict inside">on track: 5 of 5 curves inside</p>' in page
    low, high, _ = plots(page)["Training loss"]["data"]
    assert (low["x"], low["y"], high["y"], high["fill"]) == ([0, 1000], [0.1, 0.2], [0.3, 0.4], "tonexty")
    assert plots(page)["Error at logsnr -2 to +0"]["data"][0]["name"] == "reference runs"


def test_findings_of_other_verbs_are_shown(copy: Path) -> None:
    (copy / "evaluations").mkdir()
    found = {"figures": [figure("fd_x", 12.5, n=99), figure("fd_x", 3.25, n=99, role="floor")]}
    (copy / "evaluations" / "1.json").write_text(json.dumps(found))
    folder = copy / "novelty" / "2"
    folder.mkdir(parents=True)
    (folder / "novelty.json").write_text(json.dumps({"words": ["pixels: none is a copy"], "figures": []}))
    page = text_of(copy)
    assert '<td class="num">12.5</td>' in page
    assert "role=floor" in page
    assert "<p>pixels: none is a copy</p>" in page
    assert 'href="evaluations/1.json"' in page


def test_result_of_before_the_run_went_on_is_left_out(copy: Path) -> None:
    result = json.loads((copy / "result.json").read_text())
    (copy / "result.json").write_text(json.dumps({**result, "nimg": 1024}))
    page = text_of(copy)
    assert "<dd><b>2,048</b> <span>of 2,048</span>" in page
    assert "This run has not ended" in page
    assert "result.json is of 1,024 images, and the run has gone on since" in page
    assert "12.34" not in page


def test_report_of_a_model_that_comes_with_difflab_is_written_elsewhere(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what it came with and what was found here."""
    monkeypatch.setattr(directory, "embedded_dir", lambda: copy.parent)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for folder, words in ((copy, "it came with this"), (Path("outputs") / copy.name, "this was found here")):
        (folder / "novelty" / words[:2]).mkdir(parents=True)
        (folder / "novelty" / words[:2] / "novelty.json").write_text(json.dumps({"words": [words], "figures": []}))
    (copy / "report.html").unlink(missing_ok=True)  # of another test
    path = write(copy)
    assert path == Path("outputs") / copy.name / "report.html"
    assert not (copy / "report.html").exists()
    page = path.read_text()
    assert "it came with this" in page and "this was found here" in page


def test_overrides_are_the_difference_to_the_experiment(tmp_path: Path) -> None:
    words = ["experiment=smoke", "schedule=linear_vp", "optim.lr=0.0005", "callbacks.best.figure=fd", "train.seed=3"]
    found = origin(compose("train", words), tmp_path)
    assert found.changes is not None
    assert {change.key: change.here for change in found.changes}["schedule._target_"].endswith("LinearVP")
    assert "schedule=linear_vp" in found.command
    again = compose("train", found.command.split()[2:])
    assert again == compose("train", words)


def test_budget_by_the_clock_is_trained_again_by_its_images(tmp_path: Path) -> None:
    cfg = compose("train", ["experiment=fashion_cosine", "train.total_nimg=175392"])
    assert origin(cfg, tmp_path).command == "difflab train experiment=fashion_cosine train.total_nimg=175392"


def test_unknown_experiment_is_trained_again_by_its_file(tmp_path: Path) -> None:
    cfg = compose("train", ["experiment=smoke"])
    cfg.name = "of_mine"
    found = origin(cfg, tmp_path)
    assert found.changes is None
    assert "there is no such experiment" in found.note
    assert found.command == f"difflab train config={tmp_path}/config.yaml"


def test_sweep_says_what_differs_and_what_is_best(tmp_path: Path) -> None:
    folder = sweep_folder(tmp_path, {("ddim", 8): 30.0, ("ddim", 16): 20.0, ("heun", 8): 12.0, ("heun", 16): 14.0})
    page = text_of(folder)
    assert "<h1>samplers</h1>" in page
    assert "Which sampler needs the fewest evaluations?" in page
    assert '<td class="num best" data-value="12.0">12 <span class="quiet">± 1</span><span class="mark"' in page
    assert "job 4 (sampler=&lt;b&gt;, nfe=8), failed: no &lt;b&gt;such&lt;/b&gt; sampler" in page
    assert "<b>12</b> <span>± 1 with sampler=heun, nfe=8</span>" in page
    lines = plots(page)["fd_x against nfe"]["data"]
    assert [(line["name"], line["x"], line["y"]) for line in lines] == [
        ("sampler=ddim", [8, 16], [30, 20]),
        ("sampler=heun", [8, 16], [12, 14]),
    ]
    assert lines[0]["error_y"]["array"] == [1, 1]
    assert len(plots(page)["What leads where"]["data"]) == 4


def test_what_is_within_the_error_of_the_best_is_said(tmp_path: Path) -> None:
    folder = sweep_folder(tmp_path, {("ddim", 8): 30.0, ("ddim", 16): 12.9, ("heun", 8): 12.0})
    assert "± 1 with sampler=heun, nfe=8; 1 more within its error" in text_of(folder)


def test_other_protocols_are_never_on_one_line(tmp_path: Path) -> None:
    folder = sweep_folder(tmp_path, {("ddim", 8): 30.0, ("ddim", 16): 20.0, ("heun", 8): 12.0}, n_of_last=64)
    first, second = columns(read_sweep(folder).jobs)
    assert (list(first.figures), list(second.figures)) == ([0, 1], [2])
    page = text_of(folder)
    assert "fd_x is not comparable with that of job 0: n 8 / 64" in page
    assert [line["y"] for line in plots(page)["fd_x against nfe"]["data"]] == [[30, 20]]
    assert '<td class="num" data-value="12.0">' in page  # no best of one


def test_several_runs_differ_in_what_differs(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    text = (other / "config.yaml").read_text().replace("seed: 0\n", "seed: 5\n", 1)
    (other / "config.yaml").write_text(text)
    assert main(["report", str(run), str(other), f"out={tmp_path / 'both.html'}"]) == 0
    assert capsys.readouterr().out == f"report: {tmp_path / 'both.html'}\n"
    page = (tmp_path / "both.html").read_text()
    assert "<h1>2 runs</h1>" in page
    assert re.findall(r'<button type="button" title="">(.*?)</button>', page)[0] == "train.seed"
    names = [trace["name"] for trace in plots(page)["Training loss"]["data"]]
    assert names == ["train.seed=0", "train.seed=5"]


def test_of_another_class_only_its_name_is_a_column() -> None:
    configs = [compose("train", ["experiment=smoke", f"schedule={name}"]) for name in ("cosine", "linear_vp")]
    assert differing(configs) == {"schedule": ["Cosine", "LinearVP"]}


def test_sweep_whose_jobs_have_not_begun(tmp_path: Path) -> None:
    page = text_of(sweep_folder(tmp_path, {}))
    assert "<dt>finished</dt><dd><b>0 of 1</b>" in page


def test_a_report_that_fails_loses_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(path: Path, out: Path | None) -> Path:
        raise RuntimeError("no\nroom")

    monkeypatch.setattr("difflab.report.write", broken)
    small = ("train.total_nimg=64", "metrics=none", "logger=none", "callbacks.samples.n=1")
    assert main(["train", "experiment=smoke", f"runs={tmp_path}", *small]) == 0
    *_, warning, last = capsys.readouterr().out.splitlines()
    path = last.removeprefix("run: ")
    assert warning == f"warning: no report (RuntimeError: no room); `difflab report {path}` tries again"
    assert (Path(path) / "result.json").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], ["name a run", "difflab report"]),
        (["nowhere"], ["runs=nowhere", "no such run"]),
        (["{folder}"], ["is not a run", "config.yaml"]),
        (["{sweep}"], ["lists no jobs", "KeyError"]),
    ],
)
def test_misuse_is_one_line(words, said, tmp_path, capsys) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "sweep.json").write_text("{}")
    named = [word.format(folder=tmp_path / "folder", sweep=tmp_path / "sweep") for word in words]
    assert main(["report", *named]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert all(word in error for word in said), error


def test_thinned_curve_keeps_its_peaks() -> None:
    y: list[float | None] = [1.0] * 50_000
    y[777], y[31_111], y[500] = 9.0, -3.0, None
    kept = thinned(y)
    assert {777, 31_111, 0, 49_999} <= set(kept)
    assert len(kept) <= MOST + 2


def test_log_ticks() -> None:
    assert log_ticks(0.03, 2) == [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]
    assert log_ticks(1e-3, 20) == [1e-3, 1e-2, 0.1, 1, 10, 100]


def test_words_of_an_axis_never_overlap() -> None:
    heights, numbers = [1.0, 0.99, 0.5, 0.04, 0.0], [1.0, 2.0, 3.0, 4.0, 5.0]
    assert list(_apart(heights, numbers)) == [(1.0, 1.0), (0.5, 3.0), (0.0, 5.0)]


def test_short_protocol_of_a_figure() -> None:
    made = Figure("fd_x", 1.0, None, {"n": 8, "reference": "emoji/train", "reference_n": 100, "nfe": 4})
    assert in_short(made) == "n=8 vs emoji/train 100, 4 NFE"


def test_shipped_band_is_in_the_report_of_a_run_of_its_experiment(smoke: Run) -> None:
    page = (smoke.path / "report.html").read_text()
    assert re.search(r'<p class="verdict \w+">[^<]* of 3 seeds', page)
