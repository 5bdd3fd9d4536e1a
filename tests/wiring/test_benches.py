"""Every file of bench/ from end to end, in the smallest sizes: what it prints here says nothing about speed."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parents[2] / "bench"
CHROMIUM = shutil.which("chromium") and shutil.which("chromedriver")

pytestmark = pytest.mark.slow


def bench(name: str, patch: pytest.MonkeyPatch, **constants: object) -> ModuleType:
    """A bench with smaller constants."""
    spec = importlib.util.spec_from_file_location(f"bench_{name}", BENCH / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    patch.setattr("sys.argv", [name])
    patch.setitem(sys.modules, spec.name, module)  # where dataclasses look up their annotations
    spec.loader.exec_module(module)
    for constant, value in constants.items():
        assert hasattr(module, constant)
        patch.setattr(module, constant, value)
    return module


def test_every_bench_is_run_here() -> None:
    assert [path.stem for path in BENCH.glob("*.py") if f"test_{path.stem}" not in globals()] == []


def test_throughput(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    bench("throughput", monkeypatch, ROUNDS=1, BATCH=2).main()
    assert "times the GFLOP/s of ddp's Unet" in capsys.readouterr().out


def test_metrics(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DIFFLAB_CACHE", str(tmp_path))  # which the bench sets to a folder of its own
    sizes = {"N": 64, "DIM": 8, "IMAGES": 64, "INCEPTION": 2, "BATCH": 2, "SCORED": 20, "FEW": 4, "REPEATS": 1}
    module = bench("metrics", monkeypatch, **sizes)
    for part in module.PARTS.values():
        part()
    printed = capsys.readouterr().out
    assert printed.count("median ratio") == 3
    assert "torch-fidelity's" in printed.splitlines()[-1]


def test_samplers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = bench("samplers", monkeypatch, EVALUATIONS=(6, 8), N=2)
    monkeypatch.setattr("sys.argv", ["samplers", str(tmp_path / "drawn.png")])
    module.main()
    printed = capsys.readouterr().out
    assert all(name in printed for name in module.DETERMINISTIC)
    assert (tmp_path / "drawn.png").stat().st_size > 0


def test_inpainting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = bench("inpainting", monkeypatch, STEPS=6, VISITS=(1, 2), SEEDS=1, TRIPS=(("ddpm", 2), ("heun", 1)))
    monkeypatch.setattr("sys.argv", ["inpainting", str(tmp_path / "drawn.png")])
    module.main()
    assert "two lumps: exact draws" in capsys.readouterr().out
    assert (tmp_path / "drawn.png").stat().st_size > 0


def test_hearing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    module = bench("hearing", monkeypatch, LEVELS=(1.0,), PICTURES=4)
    monkeypatch.setattr("sys.argv", ["hearing", "emoji_text"])
    module.main()
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]] == ["train", "val"]


def test_sweeps(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    bench("sweeps", monkeypatch).main()
    assert capsys.readouterr().out.count("from the end of") == 2


def test_tracking(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    bench("tracking", monkeypatch, WINDOW=64).main(2)
    assert "used up, at most" in capsys.readouterr().out


@pytest.mark.skipif(not CHROMIUM, reason="needs chromium and its driver")
def test_report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    bench("report", monkeypatch, POINTS=20, GRIDS=2, PICTURES=4, ROUNDS=1).main()
    assert "opens in" in capsys.readouterr().out
