"""difflab evaluate: the figures of any pictures against any reference; or a reference alone."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from difflab import processes
from difflab.data.image_data import ImageData
from difflab.errors import DifflabError
from difflab.files import cache_dir, write_json
from difflab.metrics.protocol import Figure, lines
from difflab.metrics.suite import Suite, check_enough
from difflab.runs.directory import now, user_path
from difflab.runs.result import environment
from difflab.scoring import comparison
from difflab.scoring.inspect_reference import inspect
from difflab.scoring.picture_sets import open_pictures
from difflab.scoring.score import data_of, extractor, suite_against
from difflab.scoring.shards import Shards
from difflab.scoring.sources import ImagesSource, RunSource, Source, open_source


def main(cfg: DictConfig) -> Path | None:
    """Print every figure with its protocol and write them; returns the file, None in a process that only helps."""
    if cfg.choose:
        raise DifflabError(
            "choose=true: one evaluation leaves no choice; name several, as in `difflab evaluate -m nfe=10,20`"
        )
    if cfg["from"] is None:
        return inspect(cfg)
    if processes.rank_here() > 0:
        processes.share(partial(make_shards, cfg), make_shards, cfg)
        return None
    there = comparison.figures_at(cfg.against) if cfg.against is not None else []
    data, device = data_of(cfg), processes.device_of(cfg.trainer, 0)
    source, suite = open_source(cfg, device, shape_of(cfg)), suite_against(cfg, data, device)
    n = count(cfg, source)
    if cfg.strict:
        comparison.refuse_beforehand(suite.protocol(n), there, cfg.against)
    figures = [*figures_of(cfg, source, suite, n), *(floor(suite, data, n) if has_floor(cfg) else [])]
    out = _write(cfg, source, figures)
    print(*lines(figures), sep="\n")
    print(f"figures: {out}")
    _compare(cfg, figures, there)
    return out


def figures_of(cfg: DictConfig, source: Source, suite: Suite, n: int, say: bool = True) -> list[Figure]:
    """The figures of the first `n` pictures of a source, by as many processes as cfg.trainer names.

    say: what is found of earlier evaluations.
    """
    shards = Shards(source, suite.extractor, n, shards_folder(source))
    if say:
        print(shards)
    if shards.found < len(shards.plan) or processes.by_torchrun():
        processes.share(shards.make, make_shards, cfg)
    return suite.figures(shards.reading(), source.protocol)


def make_shards(cfg: DictConfig, rank: int, world: int, check: processes.Check) -> None:
    """The share of a process that does nothing else."""
    device = processes.device_of(cfg.trainer, rank)
    source = open_source(cfg, device, shape_of(cfg))
    shards = Shards(source, extractor(cfg, device), count(cfg, source), shards_folder(source))
    shards.make(rank, world, check)


def floor(suite: Suite, data: ImageData | None, n: int) -> list[Figure]:
    """The figures of `n` held-out real pictures, or all where there are fewer: what perfect samples would score."""
    if data is None or len(data.val) < 2:
        return []
    source = ImagesSource(data.val, f"{data.name}/val", seed=0)
    shards = Shards(source, suite.extractor, min(n, len(data.val)), shards_folder(source), "held-out pictures")
    shards.make()
    return suite.figures(shards.reading(), {**source.protocol, "role": "floor"})


def count(cfg: DictConfig, source: Source) -> int:
    """How many pictures are scored: cfg.n; null is metrics.n of a run's, and all there are of others.

    Raises:
        DifflabError: fewer than 2, or more than there are.
    """
    n = cfg.n if cfg.n is not None else source.n or cfg.metrics.n
    if not isinstance(n, int) or isinstance(n, bool):
        raise DifflabError(f"n={n}: the number of pictures is a whole number, 2 or more")
    check_enough(n)
    if source.n is not None and n > source.n:
        raise DifflabError(f"n={n}: {source.name} has {source.n} pictures; leave n out to score them all")
    return n


def shape_of(cfg: DictConfig) -> Sequence[int] | None:
    """(c, h, w) of the data, or of the reference's pictures; None where neither says."""
    if cfg.data:
        return tuple(cfg.data.shape)
    path = user_path(cfg.reference)
    if not path.is_dir():
        return None
    return open_pictures(path, f"reference={cfg.reference}", None, cfg.resize, seed=0).shape


def shards_folder(source: Source) -> Path:
    """Beside a run's evaluations; in the cache where the pictures are no run's."""
    root = source.run.outputs / "evaluations" if isinstance(source, RunSource) else cache_dir()
    return root / "shards"


def has_floor(cfg: DictConfig) -> bool:
    """Held-out pictures against themselves would score 0."""
    return bool(cfg.floor) and cfg.reference != "val"


def _write(cfg: DictConfig, source: Source, figures: Sequence[Figure]) -> Path:
    folder = source.run.outputs / "evaluations" if isinstance(source, RunSource) else Path("outputs/evaluate")
    stem = "" if isinstance(source, RunSource) else f"{source.name}-"
    out = Path(cfg.out) if cfg.out else folder / f"{stem}{now()}.json"
    write_json(out, {"figures": [figure.to_json() for figure in figures], **environment()})
    return out


def _compare(cfg: DictConfig, figures: Sequence[Figure], there: Sequence[Figure]) -> None:
    if cfg.against is None:
        return
    pairs = comparison.pairs([figure for figure in figures if not comparison.is_floor(figure)], there)
    if cfg.strict or not pairs:
        comparison.refuse_other_protocols(pairs, cfg.against)
    comparison.show(pairs, cfg.against)
