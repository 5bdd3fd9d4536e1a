"""What the seeds of a reference band measured, and with what settings: data/bands/<experiment>-<images>.json."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from difflab.bands.row_means import Rows, cell_means
from difflab.errors import DifflabError
from difflab.files import embedded_dir, replacing
from difflab.metrics.protocol import settings
from difflab.runs.directory import Run, read_metrics, read_rows

# What decides how a run trains. Seed, length, devices and precision do not: see comparable.py on the length.
TRAINING = (
    "data", "net", "condition", "schedule", "prediction", "weighting", "times", "coupling", "objective", "optim",
    "train.batch_size", "train.grad_clip",
)  # fmt: skip
# What decides its figures besides: the average they are of, how samples are made and how they are measured.
FIGURES = (
    "ema", "sampler", "grid", "guidance", "metrics.extractor", "metrics.reference_n", "figures.fd", "figures.kid",
    "callbacks.evaluation.seed",
)  # fmt: skip
LOSSES = "x0_mse/"
MEASURED = (LOSSES, "proxy/fd_", "proxy/kid_", "figures/fd_", "figures/kid_")  # low is good in all of them
CELLS = 24  # at most, of what the seeds have seen


def path_of(experiment: str, total_nimg: int) -> Path:
    """The file of the band of an experiment's runs of so many images, whether it is there or not."""
    return _folder() / f"{experiment}-{total_nimg}.json"


def contents_of(experiment: str) -> list[dict[str, Any]]:
    """Of all bands of an experiment, the shortest runs first."""
    found = [json.loads(path.read_text()) for path in _folder().glob(f"{experiment}-*.json")]
    return sorted((band for band in found if band["experiment"] == experiment), key=lambda band: band["total_nimg"])


def shipped() -> list[str]:
    """The experiments that have a band."""
    return sorted({path.stem.rpartition("-")[0] for path in _folder().glob("*.json")})


def _folder() -> Path:
    return embedded_dir() / "bands"


def settings_of(cfg: DictConfig, keys: Sequence[str]) -> dict[str, Any]:
    """The leaves below `keys` as plain values; where data lie on a machine is left out."""
    found: dict[str, Any] = {}
    for key in keys:
        found |= _flat(key, OmegaConf.select(cfg, key))
    return {key: value for key, value in found.items() if not key.endswith(".root")}


def first_difference(here: Mapping[str, Any], there: Mapping[str, Any], other: str) -> str | None:
    """`optim.lr is 0.0001, <other> 0.001`, or None where all is equal."""
    for key in dict.fromkeys([*here, *there]):
        if here.get(key) != there.get(key):
            return f"{key} is {here.get(key)}, {other} {there.get(key)}"
    return None


def values_of(rows: Rows, curve: str, cell_nimg: int) -> dict[int, float]:
    """What a run has of a curve: the means of a loss by the end of each cell, or a figure by its images."""
    if curve.startswith(LOSSES):
        return cell_means(rows, curve, cell_nimg)
    return {row["nimg"]: row[curve] for row in rows if curve in row}


def content(runs: Sequence[Run]) -> dict[str, Any]:
    """A band's file, of runs that differ in their seed alone, as far as the shortest of them has come.

    Raises:
        DifflabError: fewer than two runs, two of one seed, or runs of different settings.
    """
    configs = [run.read_config() for run in runs]
    _check_alike(runs, configs)
    first, rows = configs[0], [read_metrics(run) for run in runs]
    cell_nimg = _cell(first, min(max((row["nimg"] for row in own), default=0) for own in rows))
    return {
        "experiment": first.name,
        "seeds": [cfg.train.seed for cfg in configs],
        "total_nimg": first.train.total_nimg,
        "cell_nimg": cell_nimg,
        "training": settings_of(first, TRAINING),
        "figures": settings_of(first, FIGURES),
        "protocols": _protocols(runs[0]),
        "curves": {name: curve for name in _names(rows[0]) if (curve := _curve(rows, name, cell_nimg))},
    }


def write(path: Path, band: Mapping[str, Any]) -> None:
    """A line an entry, so that a changed value is a changed line."""
    lines = []
    for key, value in band.items():
        inner = [f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()] if isinstance(value, dict) else []
        lines.append(f"  {json.dumps(key)}: " + ("{\n" + ",\n".join(inner) + "\n  }" if inner else json.dumps(value)))
    with replacing(path) as temporary:
        temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _flat(key: str, node: Any) -> dict[str, Any]:
    plain: Any = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    if not isinstance(plain, dict):
        return {key: plain}
    return {name: leaf for child, value in plain.items() for name, leaf in _flat(f"{key}.{child}", value).items()}


def _check_alike(runs: Sequence[Run], configs: Sequence[DictConfig]) -> None:
    if len(runs) < 2:
        raise DifflabError(f"{len(runs)} run: a band is of two or more that differ in train.seed alone")
    keys = ("name", *TRAINING, *FIGURES, "train.total_nimg", "callbacks.noise_loss")
    for run, cfg in zip(runs[1:], configs[1:], strict=True):
        where = f"that of {runs[0].path} is"
        if difference := first_difference(settings_of(cfg, keys), settings_of(configs[0], keys), where):
            raise DifflabError(f"{run.path}: {difference}: the runs of a band differ in train.seed alone")
    seeds = [cfg.train.seed for cfg in configs]
    if len(set(seeds)) < len(seeds):
        raise DifflabError(f"train.seed is {', '.join(map(str, seeds))}: every run of a band has its own")


def _cell(cfg: DictConfig, seen: int) -> int:
    """Images a cell: whole rows of the losses."""
    every = int(cfg.callbacks.noise_loss.every_nimg)
    return every * max(1, -(-seen // (CELLS * every)))


def _names(rows: Rows) -> list[str]:
    """The curves of a run; noise levels from noise to data, then figures."""
    return list(dict.fromkeys(name for row in rows for name in row if name.startswith(MEASURED)))


def _curve(rows: Sequence[Rows], name: str, cell_nimg: int) -> dict[str, Any] | None:
    """What all seeds have; None where nothing, or where a logarithm can't be taken."""
    values = [values_of(each, name, cell_nimg) for each in rows]
    common = sorted(set.intersection(*(set(each) for each in values)))
    if not common or min(each[nimg] for each in values for nimg in common) <= 0:
        return None
    return {"nimg": common, "values": [[float(f"{each[nimg]:.5g}") for each in values] for nimg in common]}


def _protocols(run: Run) -> dict[str, Any]:
    """How each of the figures was made, without what changes as a run goes on."""
    rows = {row["row"]: row["protocol"] for row in read_rows(run.figures) if row["row"].startswith(MEASURED)}
    return {name: settings(protocol) for name, protocol in rows.items()}
