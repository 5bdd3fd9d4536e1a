"""difflab report: one HTML file about a run, a sweep or several runs, that asks for nothing else."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from omegaconf import DictConfig

from difflab.errors import DifflabError
from difflab.files import replacing
from difflab.report.gather import read_run
from difflab.report.group_page import group_page
from difflab.report.groups import group_of, is_sweep, read_sweep
from difflab.report.reference import reference
from difflab.report.run_page import run_page
from difflab.runs.directory import Run, find_run


def main(cfg: DictConfig) -> Path:
    """Write the report; prints and returns its path."""
    if not cfg.runs:
        raise DifflabError("name a run, a sweep folder or several runs: difflab report runs/fashion_cosine/<time>")
    path = write([find_run(name, "runs").path for name in cfg.runs], Path(cfg.out) if cfg.out else None)
    print(f"report: {path}")
    return path


def write(paths: Path | Sequence[Path], out: Path | None = None) -> Path:
    """The report of a run, a sweep folder or several of them; returns its path.

    out: None is report.html in the one folder (of a model that comes with difflab, in outputs/<name>), and
    outputs/report/<time>.html for several.

    Raises:
        DifflabError: a path that is neither a run nor a sweep.
    """
    folders = [paths] if isinstance(paths, Path) else list(paths)
    out = out or (Run(folders[0]).outputs / "report.html" if len(folders) == 1 else _unnamed())
    page = _page(folders, out.parent)
    with replacing(out) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return out


def reported(path: Path, out: Path | None = None) -> str:
    """Where the report of a run or a sweep is. Whatever is wrong with it, what was trained is not lost to it."""
    try:
        return f"report: {write(path, out)}"
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return f"warning: no report ({reason}); `difflab report {path}` tries again"


def _page(folders: Sequence[Path], beside: Path) -> str:
    if len(folders) > 1:
        return group_page(group_of([read_run(path) for folder in folders for path in _runs_in(folder)]), beside)
    (folder,) = folders
    if is_sweep(folder):
        return group_page(read_sweep(folder), beside)
    found = read_run(folder)
    return run_page(found, beside, *reference(found))


def _runs_in(folder: Path) -> list[Path]:
    """The runs of a sweep folder, or the run itself."""
    if not is_sweep(folder):
        return [folder]
    return [job.folder for job in read_sweep(folder).jobs if Run(job.folder).config.is_file()]


def _unnamed() -> Path:
    return Path("outputs/report") / f"{datetime.now():%Y%m%d-%H%M%S-%f}.html"
