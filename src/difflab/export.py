"""difflab export: a run to give away, without what only training needs."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from difflab.files import read_json, write_json
from difflab.report import reported
from difflab.runs.chosen import default_nodes, trained_nodes
from difflab.runs.directory import Run, find_run, read_result, read_rows, run_path, unused
from difflab.runs.export_weights import Exported
from difflab.runs.weights import kept_snapshots

# Where the run lay and went on says nothing to others, and may name a folder of one's own.
NOWHERE = {"runs": "runs", "run_dir": None, "resume": None, "config": None}


def main(cfg: DictConfig) -> Path:
    """Write the run as it was when it had these weights, with what was found about them; prints and returns the folder.

    Everything is read, and refused, before anything is written.

    Raises:
        DifflabError: the run has no weights, or the folder is not empty.
    """
    run = _named(cfg["from"])
    out = Run(unused(Path(cfg.out) if cfg.out is not None else run.outputs / "exported"))
    weights = Exported.of(run)
    result, files = _result(weights), list(_files(weights))
    out.write_config(_without_places(run.read_config()))
    weights.write(out.model, out.config, cfg.half)
    _write_rows(weights, out)
    if result is not None:
        write_json(out.result, result)
    for file, name in files:
        (out.path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, out.path / name)
    if (run.outputs / "report.html").is_file():
        print(reported(out.path, out.path / "report.html"))
    size = sum(path.stat().st_size for path in out.path.rglob("*") if path.is_file()) / 1e6
    print(f"exported: {out.path} ({size:.1f} MB, {weights.nimg:,} images seen): difflab sample from={out.path}")
    return out.path


def _named(name: str) -> Run:
    """The run, with the checkpoint that is named, be it the last one."""
    run = find_run(name)
    return Run(run.path, run.chosen or run.checkpoint) if run_path(name).suffix == ".ckpt" else run


def _without_places(cfg: DictConfig) -> DictConfig:
    cfg.update(NOWHERE)
    return cfg


def _write_rows(weights: Exported, out: Run) -> None:
    """What was measured until the run had these weights."""
    for source, copy in ((weights.run.metrics, out.metrics), (weights.run.figures, out.figures)):
        if source.exists():
            rows = [row for row in read_rows(source) if row["nimg"] <= weights.nimg]
            copy.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _result(weights: Exported) -> dict[str, Any] | None:
    """The run's, if it ended with these weights; else one with their own figure; None where they have none."""
    result = read_result(weights.run)
    if result.get("nimg") == weights.nimg:
        return result
    if weights.figure is None or not result:
        return None
    made_by = {key: result[key] for key in ("git", "python", "packages")}
    return {"figures": [weights.figure], "nimg": weights.nimg, **made_by}


def _files(weights: Exported) -> Iterator[tuple[Path, Path]]:
    """What is copied as it is, and where to."""
    run = weights.run
    film = [run.samples / "reverse.gif"] if weights.are_the_last else []
    for path in (run.sampler, run.codec, *_last_grid(weights), *film, *_snapshot(run)):
        if path.is_file():
            yield path, path.relative_to(run.path)
    for verb in ("novelty", "agreement"):
        for path in _newest_finding(weights, verb):
            yield path, path.relative_to(run.outputs)


def _last_grid(weights: Exported) -> list[Path]:
    """The last one that was drawn until the run had these weights."""
    grids = weights.run.samples.glob("nimg=*.png")
    return sorted(path for path in grids if path.stem <= f"nimg={weights.nimg:09d}")[-1:]


def _snapshot(run: Run) -> list[Path]:
    """The one that autoguidance goes away from, where the run samples with it by default."""
    nodes, kept = (trained_nodes(run)["guidance"], default_nodes(run)["guidance"]), kept_snapshots(run)
    asked = {node["snapshot"] for node in nodes if node["_target_"].endswith(".Autoguidance")}
    earliest = min(kept, default=None)
    return [path for nimg, path in kept.items() if nimg in asked or (nimg == earliest and None in asked)]


def _newest_finding(weights: Exported, verb: str) -> list[Path]:
    """The files of the last one that a verb has made of these weights."""
    for found in sorted((weights.run.outputs / verb).glob(f"*/{verb}.json"), reverse=True):
        if _is_of(found, weights):
            return [path for path in sorted(found.parent.iterdir()) if path.suffix in (".json", ".png")]
    return []


def _is_of(found: Path, weights: Exported) -> bool:
    protocols = [figure["protocol"] for figure in read_json(found)["figures"]]
    return any((each.get("nimg"), each.get("weights")) == (weights.nimg, "ema") for each in protocols)
