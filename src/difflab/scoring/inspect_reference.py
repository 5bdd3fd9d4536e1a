"""A reference by itself: built or found, shown, and exported as statistics."""

from pathlib import Path

from omegaconf import DictConfig
from rich.markup import escape
from rich.table import Table

from difflab import processes
from difflab.errors import DifflabError
from difflab.metrics import statistics
from difflab.metrics.extractor import Extractor
from difflab.metrics.protocol import Entry
from difflab.metrics.reference import Reference
from difflab.progress import images_bar
from difflab.scoring import comparison
from difflab.scoring.references import real_of
from difflab.scoring.score import data_of, extractor


def inspect(cfg: DictConfig) -> Path:
    """Print what cfg.reference is and where it is kept, and write cfg.export; returns the file it is kept in."""
    if cfg.export is not None and Path(cfg.export).suffix != ".npz":
        raise DifflabError(f"export={cfg.export}: statistics go into an .npz, such as export={cfg.export}.npz")
    read_by = extractor(cfg, processes.device_of(cfg.trainer, 0))
    real = real_of(cfg, data_of(cfg), read_by)
    path, before = real.path(read_by), _written(real.path(read_by))
    reference = real.load(read_by, images_bar)
    protocol = real.protocol() | _measured_by(read_by)
    comparison.console().print(_table(protocol, reference, path, _written(path) == before))
    if cfg.export is not None:
        statistics.write(Path(cfg.export), reference, protocol)
        print(f"statistics: {cfg.export}")
    print(f"reference: {path}")
    return path


def _measured_by(read_by: Extractor) -> dict[str, Entry]:
    return {"extractor": read_by.name, "weights_sha256": read_by.weights_sha256, "resize": read_by.resize}


def _table(protocol: dict[str, Entry], reference: Reference, path: Path, found: bool) -> Table:
    kept = (
        f"{path.stat().st_size / 1e6:,.1f} MB, {'found' if found else 'computed now'}" if path.exists() else "not kept"
    )
    rows = {
        **{key: str(value) for key, value in protocol.items() if value is not None},
        "holds": "mean and covariance" + ("" if reference.features is None else " and features"),
        "dimension": str(len(reference.mean)),
        "file": kept,
    }
    table = Table(show_header=False)
    for name, text in rows.items():
        table.add_row(name, escape(text))
    return table


def _written(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.exists() else None
