"""difflab export: a run to give away, without what only training needs."""

import shutil
from pathlib import Path

from omegaconf import DictConfig

from difflab.errors import DifflabError
from difflab.runs.directory import Run, find_run
from difflab.runs.export_weights import export_weights


def main(cfg: DictConfig) -> Path:
    """Write model.safetensors with config.yaml, the rows, the figures and the last grid; prints and returns the folder.

    Raises:
        DifflabError: the run has no weights, or the folder is not empty.
    """
    run = find_run(cfg["from"])
    out = Run(Path(cfg.out) if cfg.out is not None else run.outputs / "exported")
    if out.path.exists() and any(out.path.iterdir()):
        raise DifflabError(f"out={out.path} holds something already: name an empty folder, or remove it")
    about = export_weights(run, out.model, cfg.half)
    for path in (run.config, run.metrics, run.figures, run.result, run.sampler, run.codec, *_last_pictures(run)):
        if path.exists():
            (out.path / path.relative_to(run.path)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, out.path / path.relative_to(run.path))
    size = sum(path.stat().st_size for path in out.path.rglob("*") if path.is_file()) / 1e6
    print(f"exported: {out.path} ({size:.1f} MB, {int(about['nimg']):,} images seen): difflab sample from={out.path}")
    return out.path


def _last_pictures(run: Run) -> list[Path]:
    return [*sorted(run.samples.glob("nimg=*.png"))[-1:], run.samples / "reverse.gif"]
