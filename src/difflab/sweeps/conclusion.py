"""What a sweep of evaluations ends with: the table, the picture, the best, and the default that it may choose."""

from collections.abc import Sequence

from omegaconf import DictConfig

from difflab import assemble
from difflab.errors import DifflabError
from difflab.metrics.protocol import Figure
from difflab.pictures.against import page
from difflab.pixels import save_png
from difflab.report import reported
from difflab.runs.chosen import Chosen, choose
from difflab.runs.directory import find_run, is_of_a_run, run_path
from difflab.sweeps import table
from difflab.sweeps.best import best, cheapest
from difflab.sweeps.curves import plots
from difflab.sweeps.folder import Sweep
from difflab.sweeps.table import Row, row_of


def check(cfgs: Sequence[DictConfig]) -> None:
    """Raises DifflabError for out=, of which a sweep has none, and for jobs that can't choose for one run."""
    for cfg in cfgs:
        if cfg.out is not None or cfg.against is not None:
            raise DifflabError("out and against are of a single evaluation: leave them out of a sweep")
    if any(cfg["from"] is None for cfg in cfgs):
        raise DifflabError("from= is missing: a sweep of evaluations scores a run or pictures")
    names = sorted({str(cfg["from"]) for cfg in cfgs if cfg.choose})
    if len(names) > 1 or (names and not is_of_a_run(run_path(names[0]))):
        raise DifflabError(f"choose=true: from={','.join(names)} is not one run, whose default could be chosen")


def report(sweep: Sweep, cfgs: Sequence[DictConfig]) -> int:
    """Print and draw what came; 1 if a job has failed."""
    table.show(sweep.jobs, sweep.label)
    rows = [row for row in map(row_of, sweep.jobs) if row.job.read_status().state == "finished" and row.figures]
    if rows:
        _say(sweep, cfgs, rows)
        _draw(sweep, rows)
    print(reported(sweep.path))
    print(f"sweep: {sweep.path}")
    return int(any(job.read_status().state == "failed" for job in sweep.jobs))


def _say(sweep: Sweep, cfgs: Sequence[DictConfig], rows: Sequence[Row]) -> None:
    """The best by the first figure, the cheapest that is as good, and that it is the run's default now."""
    figures = [row.figures[0] for row in rows]
    try:
        top, cheap = rows[best(figures)], rows[cheapest(figures)]
    except DifflabError as reason:
        print(f"no best: {reason}")
        return
    print(f"best: {_words(top)}")
    if cheap is not top:
        print(f"as good, within one standard error of the difference, and cheaper: {_words(cheap)}")
    cfg = cfgs[cheap.job.number]
    if cfg.choose:
        _choose(sweep, cfg, cheap.figures[0])


def _words(row: Row) -> str:
    figure = row.figures[0]
    error = "" if figure.error is None else f" ± {figure.error:.2g}"
    cost = figure.protocol.get("nfe") or "any number of"
    return f"{figure.name} {figure.value:.4g}{error} with {row.job.name} ({cost} evaluations)"


def _choose(sweep: Sweep, cfg: DictConfig, figure: Figure) -> None:
    run, (nfe, n) = find_run(cfg["from"]), (figure.protocol.get(key) for key in ("nfe", "n"))
    if not isinstance(nfe, int) or not isinstance(n, int):
        print(f"the default of {run.path} stays: its evaluations are not known beforehand")
        return
    if run.ships:
        print(f"the default of {cfg['from']} stays: it comes with difflab; choose for a copy by `difflab export`")
        return
    sampling = assemble.with_sampler(run.read_config(), cfg)
    path = choose(run, sampling, Chosen(str(sweep.path), figure.name, figure.value, figure.error, nfe, n))
    print(f"from now on {run.path} samples with {assemble.describe(cfg.sampler)} in {nfe} evaluations: {path}")


def _draw(sweep: Sweep, rows: Sequence[Row]) -> None:
    """<sweep>/figure_against_<x>.png, where there is an x and the figures may be drawn together."""
    if sweep.x is None:
        return
    try:
        drawn = plots(sweep.x, rows)
    except DifflabError as reason:
        print(f"no picture: {reason}")
        return
    n = rows[0].figures[0].protocol["n"]
    below = f"{sweep.source}: n={n}, bars are standard errors"
    path = sweep.path / f"figure_against_{sweep.x}.png"
    save_png(path, page(drawn, sweep.x, sweep.question or f"Figures against {sweep.x}", below))
    print(f"picture: {path}")
