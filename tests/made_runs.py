"""Run directories and sweep folders that nobody trained."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from difflab.config.compose import compose
from difflab.runs.directory import Run
from difflab.runs.result import environment

LEVELS = [f"x0_mse/logsnr={low:+d}..{low + 2:+d}" for low in range(-8, 8, 2)]
WARNING = "n=8 is below the 1280 features"


def figure(name: str, value: float, n: int = 8, **more: Any) -> dict[str, Any]:
    """As result.json holds it."""
    protocol = {"n": n, "reference": "emoji/train", "reference_n": 100, "extractor": "x", "resize": "none", **more}
    return {"name": name, "value": value, "error": 1.0, "protocol": protocol}


def made_run(path: Path, points: int = 8, grids: Sequence[np.ndarray] = (), *overrides: str) -> Path:
    """A finished run of the smoke experiment: `points` rows, and grids enlarged as in a run's."""
    cfg = compose("train", ["experiment=smoke", *overrides])
    every = cfg.train.total_nimg // points
    run = Run(path)
    run.write_config(cfg)
    _lines(run.metrics, (_row(i, points, every) for i in range(1, points + 1)))
    _lines(run.figures, (_measured(i, every) for i in range(1, points + 1)))
    figures = [figure("fd_x", 12.34, nfe=4, warning=WARNING), figure("recall_x", 0.5, nfe=4, recall_k=3)]
    speed = {"nimg": cfg.train.total_nimg, "wall_s": 61.5, "img_per_s": 315.2}
    _write(run.result, {"figures": figures, **speed, **environment()})
    pictures = list(grids) or [noise(i) for i in range(2)]
    for i, pixels in enumerate(pictures, start=1):
        _save(run.samples / f"nimg={cfg.train.total_nimg * i // len(pictures):09d}.png", pixels, 2)
    first, *rest = [Image.fromarray(enlarged(noise(i), 4)) for i in range(5)]
    first.save(run.samples / "reverse.gif", save_all=True, append_images=rest, duration=80)
    return path


def _row(i: int, points: int, every: int) -> dict[str, float]:
    fall = 1 - 0.8 * i / points
    levels = {name: fall * 10 ** (-j / 3) for j, name in enumerate(LEVELS)}
    training = {"train/loss": fall, "train/lr": 1e-3 * fall, "train/grad_norm": 2 * fall}
    return {"nimg": i * every, "wall_s": 60.0 * i / points, **training, **levels, "speed/img_per_s": 300.0 + i % 7}


def _measured(i: int, every: int) -> dict[str, Any]:
    return {"nimg": i * every, "row": "proxy/fd_x/n=8/nfe=2", **figure("fd_x", 100.0 / i, nfe=2, nimg=i * every)}


def noise(seed: int) -> np.ndarray:
    """Eight by eight pixels in colour."""
    return np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)


def enlarged(pixels: np.ndarray, scale: int) -> np.ndarray:
    return pixels.repeat(scale, 0).repeat(scale, 1)


def sweep_folder(root: Path, values: Mapping[tuple[str, int], float], n_of_last: int = 8) -> Path:
    """A sweep of samplers over NFE: figures of its jobs, and a last job that failed."""
    folder = root / "samplers"
    jobs = [_job(folder, i, *choices) for i, choices in enumerate(values)]
    for i, (job, value) in enumerate(zip(jobs, values.values(), strict=True)):
        n = n_of_last if i == len(values) - 1 else 8
        _finish(folder / job["folder"], figure("fd_x", value, n, **job["overrides"]), i)
    jobs.append(_job(folder, len(jobs), "<b>", 8))
    _write(folder / jobs[-1]["folder"] / "status.json", {"state": "failed", "message": "no <b>such</b> sampler"})
    _write(folder / "sweep.json", {
        "name": "samplers", "verb": "evaluate", "experiment": None, "from": "runs/emoji", "overrides": [],
        "swept": ["sampler", "nfe"], "x": "nfe", "question": "Which sampler needs the fewest evaluations?",
        "jobs": jobs,
    })  # fmt: skip
    return folder


def _job(folder: Path, number: int, sampler: str, nfe: int) -> dict[str, Any]:
    name = f"jobs/{number:03d}"
    (folder / name).mkdir(parents=True)
    return {"number": number, "folder": name, "overrides": {"sampler": sampler, "nfe": nfe}}


def _finish(folder: Path, figure: dict[str, Any], number: int) -> None:
    _write(folder / "result.json", {"figures": [figure]})
    _write(folder / "status.json", {"state": "finished", "message": None, "started": None, "seconds": 10 + number})
    _save(folder / "grid.png", noise(number), 2)


def _save(path: Path, pixels: np.ndarray, scale: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(enlarged(pixels, scale)).save(path)


def _lines(path: Path, rows: Iterable[Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))
