"""Reference bands: what they are made of, whom they hold, and what they call out."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig
from scipy import stats

from difflab.bands import band_file
from difflab.bands import comparable as bands
from difflab.bands.verdict import Verdict, judge
from difflab.cli import main
from difflab.config.compose import compose
from difflab.errors import DifflabError
from difflab.files import conf_dir, embedded_dir
from difflab.runs.directory import Run, read_metrics
from tests.conftest import train
from tests.wiring.test_resume import killed_after

FILES = sorted((embedded_dir() / "bands").glob("*.json"))
SHIPPED = band_file.shipped()
UNTRAINED = sorted({path.stem for path in (conf_dir() / "experiment").glob("*.yaml")} - set(SHIPPED))
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
BUILDER = Path(__file__).parents[2] / "data" / "build_bands.py"
LEVEL = "x0_mse/logsnr=-2..+0"


def content(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def smoke_file() -> dict[str, Any]:
    return content(band_file.path_of("smoke", 2048))


def config(experiment: str, *overrides: str, total: int = 2048) -> DictConfig:
    return compose("train", [f"experiment={experiment}", f"train.total_nimg={total}", *overrides])


def config_of(found: dict[str, Any]) -> DictConfig:
    return config(found["experiment"], total=found["total_nimg"])


def rows_of_a_seed(found: dict[str, Any], seed: int, factor: float = 1.0) -> list[dict[str, float]]:
    """Rows of a run that has what the seed has, times `factor`, a row a cell."""
    rows: dict[int, dict[str, float]] = {}
    for name, curve in found["curves"].items():
        for nimg, values in zip(curve["nimg"], curve["values"], strict=True):
            row = rows.setdefault(nimg, {"nimg": nimg})
            row[name] = values[seed] * factor
            if name.startswith("x0_mse/"):
                row["train/loss"] = 1.0
    return [rows[nimg] for nimg in sorted(rows)]


def without(found: dict[str, Any], seed: int) -> dict[str, Any]:
    """The file of the other seeds."""
    others = [i for i in range(len(found["seeds"])) if i != seed]
    curves = {
        name: {**curve, "values": [[values[i] for i in others] for values in curve["values"]]}
        for name, curve in found["curves"].items()
    }
    return {**found, "seeds": [found["seeds"][i] for i in others], "curves": curves}


def run_at(folder: Path, experiment: str, seed: int, *overrides: str, until: int = 2400) -> Run:
    """A run directory whose losses are of the seed, without training: rows of 100 images."""
    run = Run(folder)
    run.write_config(config(experiment, f"train.seed={seed}", "callbacks.noise_loss.every_nimg=100", *overrides))
    rows = [{"nimg": nimg, "train/loss": 1.0, LEVEL: nimg + seed} for nimg in range(100, until + 1, 100)]
    proxy = {"nimg": 1000, "proxy/fd_efficientnet_lite0/n=32/nfe=2": 50.0 + seed, "proxy/kid_x/n=32": -1.0}
    run.metrics.write_text("".join(json.dumps(row) + "\n" for row in [*rows, proxy]))
    return run


@every_file
def test_band_belongs_to_its_experiment_as_it_is_shipped(path: Path) -> None:
    found = content(path)
    band = bands.of(config_of(found))
    assert path == band_file.path_of(found["experiment"], found["total_nimg"])
    assert band is not None
    assert band.no_figures is None
    assert band.seeds == 3
    assert sum(name.startswith("x0_mse/") for name in band.curves) == 8
    first_proxy = config_of(found).callbacks.evaluation.proxy.every_nimg
    assert any(name.startswith("proxy/fd_") for name in band.curves) == (max(band.ends) >= first_proxy)
    assert all(low < high for c in band.curves.values() for low, high in zip(c.low, c.high, strict=True))
    assert band.total_nimg == found["total_nimg"]
    assert path.stat().st_size < 60_000


@every_file
def test_band_of_two_seeds_holds_the_third(path: Path) -> None:
    found, inside = content(path), []
    for seed in range(len(found["seeds"])):
        band = bands.read(without(found, seed), config_of(found))
        for name, curve in band.curves.items():
            own = [values[seed] for values in found["curves"][name]["values"]]
            inside += [low <= v <= high for v, low, high in zip(own, curve.low, curve.high, strict=True)]
        assert judge(band, rows_of_a_seed(found, seed), config_of(found)).state == "inside"
    assert np.mean(inside) >= 0.9


@every_file
def test_band_is_student_s_interval_of_the_next_seed(path: Path) -> None:
    found = content(path)
    band = bands.of(config_of(found))
    assert band is not None
    for name, curve in found["curves"].items():
        logs = np.log(curve["values"])
        sd = np.sqrt(logs.var(axis=1, ddof=1).mean())
        low, high = stats.t.interval(0.99, logs.shape[0] * 2, logs.mean(axis=1), sd * np.sqrt(4 / 3))
        assert band.curves[name].low == pytest.approx(np.exp(low))
        assert band.curves[name].high == pytest.approx(np.exp(high))


@pytest.mark.parametrize("experiment", UNTRAINED)
def test_what_was_not_trained_has_no_band(experiment: str) -> None:
    cfg = config(experiment, "latent=none")  # whatever autoencoder it may need
    assert bands.of(cfg) is None
    assert bands.why_none(cfg) == (
        f"no reference band for {experiment}: seeds were trained here for {', '.join(SHIPPED)} alone"
    )


def test_no_band_for_other_settings_and_the_first_is_named() -> None:
    cfg = config("smoke", "optim.lr=1e-4", "train.batch_size=32")
    assert bands.of(cfg) is None
    assert bands.why_none(cfg) == "no reference band for this smoke: optim.lr is 0.0001, its seeds have 0.001"


@pytest.mark.parametrize(
    "override", ["train.seed=7", "trainer.precision=bf16-mixed", "train.accumulate=2", "logger=csv", "data.root=x"]
)
def test_what_does_not_decide_how_it_trains_keeps_the_band(override: str) -> None:
    band = bands.of(config("smoke", override))
    assert band is not None
    assert band.no_figures is None


@pytest.mark.parametrize("override", ["ema.halflife_nimg=100", "sampler=heun", "metrics.reference_n=99"])
def test_other_figures_are_left_out_and_the_losses_kept(override: str) -> None:
    band = bands.of(config("smoke", override))
    assert band is not None
    assert set(band.curves) == {name for name in smoke_file()["curves"] if name.startswith("x0_mse/")}
    assert band.no_figures is not None
    assert band.no_figures.startswith(override.partition("=")[0])


def test_verdict_says_what_is_where() -> None:
    found, cfg = smoke_file(), config("smoke")
    band = bands.of(cfg)
    assert band is not None
    inside = judge(band, rows_of_a_seed(found, 0), cfg)
    assert inside.state == "inside"
    assert inside.text == (
        "on track at 2,048 images: 8 of 8 noise levels and 4 of 4 figures inside the band of 3 seeds"
    )
    above = judge(band, rows_of_a_seed(found, 0, 2.0), cfg)
    fd = band.curves["figures/fd_efficientnet_lite0/n=64"]
    value = found["curves"]["figures/fd_efficientnet_lite0/n=64"]["values"][0][0]
    assert above.text == (
        f"above the band at 2,048 images: figures/fd_efficientnet_lite0/n=64 is {2 * value:.3g}, the band "
        f"{fd.low[0]:.3g}..{fd.high[0]:.3g}; 12 of 12 curves are outside of 3 seeds (docs/runs.md says what that means)"
    )
    assert judge(band, rows_of_a_seed(found, 0, 0.5), cfg).state == "below"


def test_a_curve_alone_may_be_outside() -> None:
    found, cfg = smoke_file(), config("smoke")
    band = bands.of(cfg)
    assert band is not None
    rows = rows_of_a_seed(found, 0)
    rows[-1][LEVEL] *= 3
    rows[-1]["figures/fd_efficientnet_lite0/n=64"] *= 3
    verdict = judge(band, rows, cfg)
    assert verdict.state == "inside"
    assert "7 of 8 noise levels and 3 of 4 figures" in verdict.text


@pytest.mark.parametrize("pair", [("x0_mse/logsnr=-4", "x0_mse/logsnr=-2"), ("figures/fd", "figures/kid")])
def test_two_of_a_kind_are_not_by_chance(pair: tuple[str, str]) -> None:
    found, cfg = smoke_file(), config("smoke")
    band = bands.of(cfg)
    assert band is not None
    rows = rows_of_a_seed(found, 0)
    rows[-1] |= {name: value * 3 for name, value in rows[-1].items() if name.startswith(pair)}
    verdict = judge(band, rows, cfg)
    assert verdict.state == "above"
    assert "2 of 12 curves are outside" in verdict.text


def test_run_of_another_length_is_judged_while_its_learning_rate_is_alike() -> None:
    found = smoke_file()
    cfg = config("smoke")
    cfg.train.total_nimg = 1280  # at 256 images (1 - 256 / 1280) / (1 - 256 / 2048) = 0.91, at 512 0.8
    band = bands.of(cfg)
    assert band is not None
    assert bands.comparable_until(band, cfg) == 256
    rows = rows_of_a_seed(found, 0)
    assert judge(band, rows[:1], cfg).state == "inside"
    verdict = judge(band, rows[:2], cfg)
    assert verdict.state == "unknown"
    assert verdict.text == (
        "no verdict at 512 images: its learning rate falls earlier than the band's (train.total_nimg is 1,280, the "
        "band's 2,048); before that on track at 256 images: 8 of 8 noise levels inside the band of 3 seeds"
    )


def test_of_several_bands_the_one_that_compares_for_longest_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for total in (1280, 2048, 4096):
        band_file.write(tmp_path / "bands" / f"smoke-{total}.json", smoke_file() | {"total_nimg": total})
    monkeypatch.setattr(band_file, "embedded_dir", lambda: tmp_path)
    chosen = {total: bands.of(config("smoke", total=total)) for total in (1280, 1300, 2048, 9000)}
    assert {total: band.total_nimg for total, band in chosen.items() if band} == {
        1280: 1280, 1300: 1280, 2048: 2048, 9000: 4096,
    }  # fmt: skip


def test_band_ends_where_its_seeds_do() -> None:
    found, cfg = smoke_file(), config("smoke", "optim.decay=constant")
    found["training"]["optim.decay"] = "constant"
    cfg.train.total_nimg = 4096
    band = bands.read(found, cfg)
    rows = [*rows_of_a_seed(found, 0), {"nimg": 2304, "train/loss": 1.0}]
    assert judge(band, rows[:-1], cfg).state == "inside"
    assert judge(band, rows, cfg).text.startswith("no verdict at 2,304 images: the band ends at 2,048; before that")


def test_nothing_measured_is_no_verdict() -> None:
    cfg = config("smoke")
    band = bands.of(cfg)
    assert band is not None
    assert judge(band, [], cfg) == Verdict(
        "unknown", "no verdict at 0 images: nothing is measured yet that the band has"
    )


def test_file_is_made_of_runs(tmp_path: Path) -> None:
    runs = [run_at(tmp_path / str(seed), "smoke", seed) for seed in (0, 5)]
    out = tmp_path / "band.json"
    done = subprocess.run([sys.executable, BUILDER, *(run.path for run in runs), "--out", out], capture_output=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert found["seeds"] == [0, 5]
    assert found["cell_nimg"] == 100
    assert found["curves"] == {
        LEVEL: {"nimg": list(range(100, 2401, 100)), "values": [[n, n + 5] for n in range(100, 2401, 100)]},
        "proxy/fd_efficientnet_lite0/n=32/nfe=2": {"nimg": [1000], "values": [[50, 55]]},
    }
    assert bands.read(found, config("smoke")).curves[LEVEL].ends[-1] == 2400


def test_cells_are_whole_rows_and_as_far_as_the_shortest_run(tmp_path: Path) -> None:
    ends = {0: 6000, 1: 3000}  # 30 rows of losses, in 24 cells at most
    runs = [run_at(tmp_path / str(s), "smoke", s, "train.total_nimg=9000", until=end) for s, end in ends.items()]
    found = band_file.content(runs)
    assert found["cell_nimg"] == 200
    cells = list(range(200, 3001, 200))
    assert found["curves"][LEVEL] == {"nimg": cells, "values": [[n - 50, n - 49] for n in cells]}


def test_runs_that_differ_in_more_than_the_seed_make_no_band(tmp_path: Path) -> None:
    first, again = run_at(tmp_path / "a", "smoke", 0), run_at(tmp_path / "b", "smoke", 0)
    other = run_at(tmp_path / "c", "smoke", 1, "optim.lr=0.5")
    with pytest.raises(DifflabError, match=r"train.seed is 0, 0: every run of a band has its own"):
        band_file.content([first, again])
    with pytest.raises(DifflabError, match=r"c: optim.lr is 0.5, that of .*a is 0.001: the runs of a band differ in"):
        band_file.content([first, other])
    with pytest.raises(DifflabError, match="1 run: a band is of two or more"):
        band_file.content([first])


def test_shipped_values_are_what_their_seed_has(smoke: Run) -> None:
    found = smoke_file()
    seed = found["seeds"].index(smoke.read_config().train.seed)
    for name, curve in found["curves"].items():
        own = band_file.values_of(read_metrics(smoke), name, found["cell_nimg"])
        assert [own[nimg] for nimg in curve["nimg"]] == pytest.approx([v[seed] for v in curve["values"]], rel=0.02)


def test_run_logs_the_band_beside_its_rows_and_ends_with_the_verdict(smoke: Run) -> None:
    rows, band = read_metrics(smoke), bands.of(smoke.read_config())
    assert band is not None
    for name, curve in band.curves.items():
        logged = [row for row in rows if f"band/{name}/low" in row]
        assert [row["nimg"] for row in logged] == curve.ends
        assert [row[f"band/{name}/high"] for row in logged] == curve.high
        assert [row[f"band/{name}/run"] for row in logged] == [*band.values_of(rows, name).values()]
    assert [row["band/verdict"] for row in rows if "band/verdict" in row] == [0] * 8
    verdict = judge(band, rows, smoke.read_config())
    assert json.loads(smoke.result.read_text())["band"] == {"state": "inside", "text": verdict.text}


@pytest.mark.slow
def test_resumed_run_is_judged_alike(
    smoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        killed_after(1100, patch)
        with pytest.raises(RuntimeError, match="killed"):
            train(tmp_path, "logger=none", "metrics=none", "--debug")
    out = capsys.readouterr().out.splitlines()
    assert "reference band: of noise levels alone, since this run measures no figures" in out
    assert out[-1] == "on track at 256 images: 8 of 8 noise levels inside the band of 3 seeds"
    (cut,) = (Run(path) for path in tmp_path.glob("*/*"))
    assert main(["train", f"resume={cut.path}"]) == 0
    names = {key for row in read_metrics(cut) for key in row if key.startswith("band/")}
    assert len(names) == 8 * 3 + 1

    def losses(run: Run) -> list[dict[str, float]]:
        mine = ({key: row[key] for key in ("nimg", *sorted(names)) if key in row} for row in read_metrics(run))
        return [row for row in mine if len(row) > 1]

    assert losses(cut) == losses(smoke)
    assert "on track at 2,048 images: 8 of 8 noise levels inside" in capsys.readouterr().out


@pytest.mark.slow
def test_wrong_learning_rate_is_called_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As its settings, and, if they were hidden by a mistake, by what it measures."""
    run = train(tmp_path, "logger=none", "metrics=none", "optim.lr=1e-4")
    assert "no reference band for this smoke: optim.lr is 0.0001, its seeds have 0.001" in capsys.readouterr().out
    result = json.loads(run.result.read_text())
    assert result["band"]["state"] == "unknown"
    assert result["band"]["text"] == "no reference band for this smoke: optim.lr is 0.0001, its seeds have 0.001"
    band = bands.of(config("smoke"))
    assert band is not None
    assert judge(band, read_metrics(run), config("smoke")).state == "above"
