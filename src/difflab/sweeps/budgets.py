"""Minutes as images, once for all jobs that cost the same: jobs of a sweep compare at equal numbers of images.

Each job would otherwise measure for itself, with other jobs beside it, and again after a kill.
"""

import copy
import hashlib
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from difflab.errors import DifflabError
from difflab.files import read_json, write_json
from difflab.latents.settings import trains_autoencoder

_COST = ("net", "condition", "data", "latent", "objective", "optim", "trainer")


class Budgets:
    """What minutes have come to, kept in <sweep>/budgets.json. threads: of a job."""

    def __init__(self, path: Path, threads: int) -> None:
        self.path, self.threads = path, threads
        self.images: dict[str, int] = read_json(path) if path.exists() else {}

    def of(self, cfg: DictConfig) -> int | None:
        """The images that a job with minutes trains on.

        None where its configuration says how many, and where nothing can be measured: the job itself says why.
        """
        if cfg.train.minutes is None:
            return None
        key = _cost(cfg)
        if key not in self.images:
            try:
                self.images[key] = _measured(cfg, self.threads)
            except DifflabError:
                return None
            print(
                f"{cfg.train.minutes:g} minutes are {self.images[key]:,} images here, for all jobs that cost the same"
            )
            write_json(self.path, self.images)
        return self.images[key]


def _cost(cfg: DictConfig) -> str:
    """Equal for configurations whose steps cost the same."""
    train = {key: cfg.train[key] for key in ("minutes", "batch_size", "accumulate")}
    parts = OmegaConf.to_yaml(OmegaConf.create({**train, **{key: cfg[key] for key in _COST}}), resolve=True)
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def _measured(cfg: DictConfig, threads: int) -> int:
    from difflab import train
    from difflab.latents import train as autoencoders
    from difflab.training.trainer import settle_budget

    cfg, before = copy.deepcopy(cfg), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        module, data, *_ = (autoencoders if trains_autoencoder(cfg) else train).prepared(cfg)
        settle_budget(cfg, module, data)
    finally:
        torch.set_num_threads(before)
    return int(cfg.train.total_nimg)
