"""difflab agreement: do samples show what they were asked for? Against guidance scale, beside real pictures."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig

from difflab import assemble
from difflab.conditions.asked import Each
from difflab.data.image_data import ImageData
from difflab.data.images import Images
from difflab.errors import DifflabError
from difflab.evaluate import shards_folder
from difflab.files import write_json
from difflab.metrics.protocol import Figure, lines
from difflab.pictures.agreement import Curve, page
from difflab.pixels import save_png
from difflab.progress import images_bar
from difflab.rng import generator
from difflab.runs.directory import Run, find_run
from difflab.runs.result import environment
from difflab.scoring.score import data_of, extractor
from difflab.scoring.seen import Seen
from difflab.scoring.shards import Shards
from difflab.scoring.sources import ImagesSource, RunSource, Source


def main(cfg: DictConfig) -> Path:
    """Print every figure with its protocol and in words, write agreement.json and agreement.png; returns the folder."""
    run, data = find_run(cfg["from"]), data_of(cfg)
    out = run.output("agreement", cfg.out)
    assert data is not None
    check(cfg, run)
    held_out = chosen(data, cfg.n, cfg.seed)
    seen = Seen.by(extractor(cfg, assemble.device(cfg.trainer)), data, images_bar)
    found = {scale: of_samples(cfg, run, seen, held_out, scale) for scale in cfg.scales}
    real = of_real(seen)
    figures, drawn = [*(figure for one in found.values() for figure in one), *real], curves(found, real)
    said = [str(curve) for curve in drawn]
    write_json(
        out / "agreement.json", {"words": said, "figures": [figure.to_json() for figure in figures], **environment()}
    )
    save_png(out / "agreement.png", page(drawn, f"{cfg['from']}: {cfg.n} samples of each scale"))
    print(*lines(figures), *said, f"agreement: {out}", sep="\n")
    return out


def check(cfg: DictConfig, run: Run) -> None:
    """Raises DifflabError for a run of which nothing can be asked, and for a guidance without a scale."""
    if not assemble.has_condition(run.read_config()):
        raise DifflabError(
            f"from={cfg['from']}: the run has no condition, so that nothing was asked of it; train one with "
            "condition=label or condition=text_learned"
        )
    if "scale" not in cfg.guidance:
        raise DifflabError(f"guidance={assemble.describe(cfg.guidance)} has no scale: set guidance=classifier_free")
    if not cfg.scales or not all(isinstance(scale, int | float) for scale in cfg.scales):
        raise DifflabError(f"scales={list(cfg.scales)}: one scale of the guidance or more, such as [1.0,2.0]")


def chosen(data: ImageData, n: int, seed: int) -> Images:
    """n held-out pictures by chance. Raises DifflabError for fewer than 2, or more than there are."""
    if not 2 <= n <= len(data.val):
        raise DifflabError(
            f"n={n}: it is 2 or more, and no more than the {len(data.val)} held-out pictures of {data.name}"
        )
    return data.val.select(torch.randperm(len(data.val), generator=generator(seed, "held out"))[:n])


def of_samples(cfg: DictConfig, run: Run, seen: Seen, held_out: Images, scale: float) -> list[Figure]:
    """Sample i is asked for what held-out picture i is."""
    cfg = copy.deepcopy(cfg)
    cfg.guidance.scale = scale
    name = f"as {seen.data.name}/val ({held_out.digest()[:8]})"
    source = RunSource(run, cfg, assemble.device(cfg.trainer), lambda _, condition: Each(condition, held_out, name))
    return of_source(seen, source, held_out, {})


def of_real(seen: Seen) -> list[Figure]:
    """All held-out pictures themselves: what perfect samples would score."""
    source = ImagesSource(seen.data.val, f"{seen.data.name}/val", seed=0)
    return of_source(seen, source, seen.data.val.select(source.order), {"role": "floor"})


def of_source(seen: Seen, source: Source, asked: Images, more: Mapping[str, str]) -> list[Figure]:
    shards = Shards(source, seen.read_by, len(asked), shards_folder(source))
    shards.make()
    return seen.figures(shards.reading().features, asked, {**source.protocol, **more})


def curves(found: Mapping[float, Sequence[Figure]], real: Sequence[Figure]) -> list[Curve]:
    """One a figure, against the scales."""
    rows = list(zip(*found.values(), strict=True))
    return [
        Curve(top.name, list(found), [f.value for f in row], [f.error or 0.0 for f in row], top.value)
        for row, top in zip(rows, real, strict=True)
    ]
