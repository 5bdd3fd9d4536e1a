"""difflab evaluate: the figures of a run against its data."""

from datetime import datetime
from pathlib import Path

import torch
from omegaconf import DictConfig

from difflab import assemble
from difflab.data.module import from_config
from difflab.errors import DifflabError
from difflab.files import write_json
from difflab.quiet import quiet_lightning
from difflab.runs import find_run
from difflab.score import suite
from difflab.weights import load_denoiser, snapshots_of


def main(cfg: DictConfig) -> Path:
    """Print every figure with its protocol and write them; returns the file."""
    quiet_lightning()
    run = find_run(cfg["from"])
    data = from_config(cfg.data, batch_size=1, seed=0)
    data.setup()
    device = assemble.device(cfg.trainer)
    scored = suite(cfg, data, device)
    if scored is None:
        raise DifflabError("metrics=none: there is nothing to evaluate; choose metrics=efficientnet_lite0 or inception")
    generation = assemble.generation(assemble.with_sampler(run.read_config(), cfg), snapshots_of(run, device))
    denoiser, checkpoint = load_denoiser(run, cfg.weights)
    images = torch.cat(list(generation.batches(denoiser.to(device), cfg.seed, range(cfg.n), cfg.batch, device)))
    halflife = run.read_config().ema.halflife_nimg if cfg.weights == "ema" else None
    protocol = generation.protocol | {
        "ema_halflife_nimg": halflife,
        "sample_seed": cfg.seed,
        "nimg": checkpoint["nimg"],
    }
    figures = [*scored.score(images, protocol), *scored.floor(data.val.pixels, cfg.n, f"{cfg.data.name}/val")]
    out = Path(cfg.out) if cfg.out else run.path / "evaluations" / f"{datetime.now():%Y%m%d-%H%M%S-%f}.json"
    write_json(out, [figure.to_json() for figure in figures])
    for figure in figures:
        print(figure)
    print(f"figures: {out}")
    return out
