"""Many evaluations in one process: data, extractor and reference are loaded once for all that have them in common."""

from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig, OmegaConf

from difflab import evaluate, processes
from difflab.data.image_data import ImageData
from difflab.files import write_json
from difflab.metrics.protocol import Figure
from difflab.metrics.suite import Suite
from difflab.novelty import pictures
from difflab.pixels import grid, save_png
from difflab.runs.result import environment
from difflab.scoring.score import data_of, suite_against
from difflab.scoring.sources import open_source

SHOWN = 64  # samples in grid.png
_JUDGES = ("data", "metrics", "figures", "reference", "flips", "resize", "trainer")


class Judge(NamedTuple):
    """What a figure is counted with."""

    data: ImageData | None
    suite: Suite


class Scoring:
    """Scores configurations of `difflab evaluate`."""

    def __init__(self) -> None:
        self._judges: dict[str, Judge] = {}
        self._floors: dict[tuple[str, int], list[Figure]] = {}

    def score(self, cfg: DictConfig, out: Path) -> None:
        """Write the first samples of the seed as grid.png and the figures as result.json, beside those of the floor.

        Raises DifflabError as evaluate does.
        """
        device = processes.device_of(cfg.trainer, 0)
        source = open_source(cfg, device, evaluate.shape_of(cfg))
        n = evaluate.count(cfg, source)
        first = pictures(source, min(SHOWN, source.n or SHOWN), "grid")
        save_png(out / "grid.png", grid(first, scale=2))
        figures = evaluate.figures_of(cfg, source, self._judge(cfg).suite, n, say=False)
        write_json(out / "result.json", {
            "figures": [figure.to_json() for figure in [*figures, *self._floor(cfg, n)]],
            **environment(),
        })  # fmt: skip

    def _judge(self, cfg: DictConfig) -> Judge:
        key = _key(cfg)
        if key not in self._judges:
            data = data_of(cfg)
            self._judges[key] = Judge(data, suite_against(cfg, data, processes.device_of(cfg.trainer, 0)))
        return self._judges[key]

    def _floor(self, cfg: DictConfig, n: int) -> list[Figure]:
        """Of held-out real pictures, once for all jobs."""
        key, judge = (_key(cfg), n), self._judge(cfg)
        if key not in self._floors:
            self._floors[key] = evaluate.floor(judge.suite, judge.data, n) if evaluate.has_floor(cfg) else []
        return self._floors[key]


def _key(cfg: DictConfig) -> str:
    judged_by = OmegaConf.masked_copy(cfg, list(_JUDGES))
    return OmegaConf.to_yaml(judged_by, resolve=True)
