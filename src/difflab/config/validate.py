"""Bounds of the settings, checked before anything is built."""

from omegaconf import DictConfig, OmegaConf

from difflab.errors import DifflabError

# None passes here: compose.py knows which settings null switches off.
AT_LEAST_ONE = (
    "train.total_nimg", "train.batch_size", "train.accumulate", "trainer.devices",
    "callbacks.samples.every_nimg", "callbacks.samples.n", "callbacks.samples.batch",
    "callbacks.evaluation.proxy.every_nimg", "callbacks.evaluation.proxy.steps", "callbacks.evaluation.full.every_nimg",
    "callbacks.noise_loss.every_nimg", "callbacks.noise_loss.bins", "callbacks.throughput.every_nimg",
    "callbacks.checkpoint.every_nimg", "callbacks.power_ema.snapshots", "metrics.reference_n", "figures.kid.subsets",
    "batch", "nfe", "grid.levels", "grid.jump_length", "grid.jump_n_sample", "grid.repeats", "grid.inner_steps",
    "net.patch", "condition.heads", "condition.words", "condition.ngrams", "condition.buckets",
    "vlb.levels_per_picture", "ode.steps", "ode.probes", "film_frames",
    "launcher.timeout_min", "launcher.cpus", "search.trials",
)  # fmt: skip
AT_LEAST_TWO = ("callbacks.evaluation.proxy.n", "metrics.n", "figures.kid.subset_size", "vlb.levels")
ABOVE_ZERO = (
    "train.minutes", "train.grad_clip", "data.sigma_data", "ema.halflife_nimg", "ema.rampup", "optim.lr",
    "grid.sigma_min", "grid.sigma_max", "grid.rho", "grid.base.sigma_min", "grid.base.sigma_max", "grid.base.rho",
    "grid.end", "grid.sigma_hat_max", "vlb.sigma_min", "ode.sigma_min", "ode.tolerance", "launcher.mem_gb",
    "logger.start_timeout", "logger.finish_timeout",
)  # fmt: skip
ZERO_OR_MORE = (
    "callbacks.evaluation.share",
    "grid.churn",
    "grid.sigma_hat_min",
    "ode.twice",
    "launcher.gpus",
    "search.seed",
)
ONE_OF = {
    "latent.kind": ("none", "autoencoder", "autoencoder_kl"),
    "logger.kind": ("wandb", "csv", "tensorboard", "none"),
    "logger.mode": ("auto", "online", "offline"),
    "grid.spacing": ("leading", "trailing", "linspace"),
    "grid.offset": (0, 1),
    "split": ("val", "train"),
    "vlb.spacing": ("t", "logsnr"),
    "vlb.variance": ("auto", "posterior", "upper", "learned"),
    "ode.solver": ("rk4", "heun", "adaptive"),
    "ode.probe": ("rademacher", "gaussian"),
    "ode.dequantisation": ("uniform", "truncated_normal"),
    "resize": ("crop", "pad", "squash"),
    "launcher.cluster": ("slurm", "local", "debug"),
}


def validate(cfg: DictConfig) -> None:
    """Raises DifflabError for a number out of its bounds or a word that is none of the known ones."""
    unscored = OmegaConf.select(cfg, "metrics.extractor") is None
    for key in AT_LEAST_ONE:
        _at_least(cfg, key, 1)
    for key in AT_LEAST_TWO:
        if not (unscored and key.startswith("metrics.")):
            _at_least(cfg, key, 2)
    for key in ABOVE_ZERO:
        value = OmegaConf.select(cfg, key)
        if value is not None and not (_is_number(value) and value > 0):
            raise DifflabError(f"{key}={value}: it is a number above 0")
    for key in ZERO_OR_MORE:
        value = OmegaConf.select(cfg, key)
        if value is not None and not (_is_number(value) and value >= 0):
            raise DifflabError(f"{key}={value}: it is a number, 0 or more")
    for key, words in ONE_OF.items():
        value = OmegaConf.select(cfg, key)
        if value is not None and value not in words:
            raise DifflabError(f"{key}={value}: it is one of {', '.join(map(str, words))}")


def _at_least(cfg: DictConfig, key: str, least: int) -> None:
    value = OmegaConf.select(cfg, key)
    if value is not None and not (isinstance(value, int) and value >= least):
        raise DifflabError(f"{key}={value}: it is a whole number, {least} or more")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def one_budget(given: dict[str, str], cfg: DictConfig) -> None:
    """A number of images that is asked for takes the place of an experiment's minutes."""
    images, minutes = given.get("train.total_nimg"), given.get("train.minutes", "null")
    if images is None:
        return
    if minutes != "null":
        raise DifflabError(f"train.total_nimg={images} and train.minutes={minutes} are two budgets: leave one out")
    cfg.train.minutes = None


def one_number_of_steps(given: dict[str, str]) -> None:
    steps, nfe = given.get("grid.steps"), given.get("nfe", "null")
    if steps is not None and nfe != "null":
        raise DifflabError(f"grid.steps={steps} and nfe={nfe} both set the number of steps: leave one out")
