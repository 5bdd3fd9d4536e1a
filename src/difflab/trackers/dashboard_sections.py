"""What the W&B workspace shows: sections of panels over the rows that runs log."""

from typing import Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

# How the names of figures begin, whatever their extractor; the Frechet distance has another with the paper's Inception.
MEASURES = {
    "Frechet distance": "(fd|fid)",
    "KID": "kid",
    "Inception Score": "inception_score",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
}
PROXIES = ("Frechet distance", "KID")
# What a sweep varies, in the order of a run's story; a column that does not vary is a single point.
VARIED = (
    "schedule._target_", "prediction._target_", "weighting._target_", "times._target_", "optim.lr", "ema.halflife_nimg",
    "sampler._target_", "grid.steps", "train.seed",
)  # fmt: skip


def sections(figure: str) -> list[ws.Section]:
    """From what matters most to what explains it; `figure` is what sweeps are judged by."""
    return [
        _section("figures", [_figure("figures", title) for title in MEASURES]),
        _section("proxy figures", [_figure("proxy", title) for title in PROXIES]),
        _section("loss", [
            _curve("loss", "train/loss", log=True), _curve("gradient norm", "train/grad_norm", log=True),
            _curve("learning rate", "train/lr"), _curve("half-life of the average, images", "ema/halflife_nimg"),
            _curve("|average - weights| / |weights|", "ema/distance", log=True),
        ]),
        _section("loss by noise level", [_matching("|x0 - x0_hat|^2 by logsnr", "^x0_mse/", log=True)], columns=1),
        _section("on track", [
            _curve("1 above, 0 inside, -1 below the reference band", "band/verdict"),
            _matching("run and band, |x0 - x0_hat|^2 by logsnr", "^band/x0_mse/", log=True),
            _matching("run and band, figures", "^band/(proxy|figures)/"),
        ]),
        _section("samples", [_media("samples/grid"), wr.WeavePanelSummaryTable(table_name="samples/table")], columns=2),
        _section("films", [_media("films/reverse")], columns=2),
        _section("speed", [
            _curve("images/s", "speed/img_per_s"), _curve("GFLOP/s", "speed/gflop_per_s"),
            _curve("seconds", "wall_s"),
        ]),
        _section("sweeps", [_parallel(figure), _importance(figure), _bars(figure)], columns=1),
    ]  # fmt: skip


def _section(name: str, panels: list[Any], columns: int = 3) -> ws.Section:
    rows = -(-len(panels) // columns)
    layout = ws.SectionLayoutSettings(columns=columns, rows=rows)
    return ws.Section(name=name, panels=panels, is_open=True, layout_settings=layout)


def _curve(title: str, row: str, log: bool = False) -> wr.LinePlot:
    return wr.LinePlot(title=title, x="nimg", y=[row], log_y=log or None, title_x="images seen")


def _matching(title: str, rows: str, log: bool = False) -> wr.LinePlot:
    """Curves of all rows whose names a regular expression finds."""
    return wr.LinePlot(title=title, x="nimg", metric_regex=rows, log_y=log or None, title_x="images seen")


def _figure(kind: str, measure: str) -> wr.LinePlot:
    """A figure of any extractor and any number of samples, and its standard error."""
    return _matching(measure, f"^{kind}/{MEASURES[measure]}")


def _media(row: str) -> wr.MediaBrowser:
    return wr.MediaBrowser(title=row, media_keys=[row])


def _parallel(figure: str) -> wr.ParallelCoordinatesPlot:
    columns = [wr.ParallelCoordinatesPlotColumn(wr.Config(key)) for key in VARIED]
    last = wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric(f"final/{figure}"), display_name=figure)
    return wr.ParallelCoordinatesPlot(title=f"what leads to a good {figure}", columns=[*columns, last])


def _importance(figure: str) -> wr.ParameterImportancePlot:
    return wr.ParameterImportancePlot(with_respect_to=f"final/{figure}")


def _bars(figure: str) -> wr.BarPlot:
    return wr.BarPlot(title=f"{figure} at the end", metrics=[f"final/{figure}"])
