"""logger=wandb: the run as Weights & Biases shows it, online where a key is found, else in <run>/wandb."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from difflab.latents.settings import trains_autoencoder
from difflab.metrics.protocol import Entry, Figure, settings
from difflab.pixels import to_pil
from difflab.runs.directory import Run
from difflab.runs.result import environment
from difflab.trackers.base import Tracker
from difflab.trackers.wandb_end import finish_within
from difflab.trackers.wandb_mode import begin_offline, in_words, mode_of, silence_of

GRACE_SECONDS = 5.0  # beyond logger.finish_timeout, which wandb itself keeps unless it is uploading an artifact


class WandbRun(Tracker):
    """One W&B run over the images seen; a resumed run goes on in its own.

    wandb sends in a process of its own, and keeps all of it in <run>/wandb: a server that is gone costs nothing but
    `logger.finish_timeout` seconds at the end.
    """

    def __init__(self, cfg: DictConfig, run: Run) -> None:
        _keep_files_in(run)
        self.patience = cfg.logger.finish_timeout
        self._lost = False
        self._protocols: dict[str, dict[str, Entry]] = {}
        self.wandb = _opened(cfg, run)
        with self._never_in_the_way():
            self.wandb.define_metric("nimg")
            self.wandb.define_metric("*", step_metric="nimg")

    @property
    def where(self) -> str:
        return f"W&B: `{self._sync}` uploads it" if self.wandb.offline else f"W&B: {self.wandb.url}"

    @property
    def _sync(self) -> str:
        return f"wandb sync {'' if self.wandb.offline else '--include-online '}{Path(self.wandb.dir).parent}"

    def log(self, row: Mapping[str, Any]) -> None:
        with self._never_in_the_way():
            self.wandb.log(dict(row))  # without step=: rows out of order would be dropped

    def figures(self, row: Mapping[str, Any], figures: Mapping[str, Figure]) -> None:
        """Errors as curves beside their figures; protocols in the configuration, without what changes each time."""
        new = {name: settings(figure.protocol) for name, figure in figures.items() if name not in self._protocols}
        self._protocols |= new
        with self._never_in_the_way():
            if new:
                self.wandb.config.update({"protocols": self._protocols}, allow_val_change=True)
        self.log({**row, **{f"{name}/error": f.error for name, f in figures.items() if f.error is not None}})

    def picture(self, nimg: int, name: str, path: Path, caption: str) -> None:
        import wandb

        kind = wandb.Video if path.suffix == ".gif" else wandb.Image
        with self._never_in_the_way():
            self.wandb.log({name: kind(str(path), caption=caption or None), "nimg": nimg})

    def samples(self, nimg: int, seed: int, images: UInt8[Tensor, "n c h w"], words: Sequence[str]) -> None:
        import wandb

        if self._is_gone():
            return
        with self._never_in_the_way():
            columns: list[str | int] = ["number", "seed", *(["condition"] if words else []), "picture"]
            rows = [[i, seed, *words[i : i + 1], wandb.Image(to_pil(image))] for i, image in enumerate(images)]
            self.wandb.log({"samples/table": wandb.Table(columns, rows), "nimg": nimg})

    def finished(self, run: Run, result: Mapping[str, Any]) -> None:
        """The final figures by names that do not depend on n; online, the best weights as an artifact."""
        final: dict[str, Any] = {"nimg": result["nimg"], "img_per_s": result["img_per_s"]}
        for figure in map(Figure.from_json, result["figures"]):
            final |= {f"final/{figure.name}": figure.value, f"final/{figure.name}/error": figure.error}
        with self._never_in_the_way():
            self.wandb.summary.update(final)
            if not self.wandb.offline and not self._is_gone():
                self._upload_weights(run)

    def _upload_weights(self, run: Run) -> None:
        """Those that `difflab export` writes; an autoencoder's, which are no model by themselves, stay in the run."""
        if trains_autoencoder(run.read_config()):
            return
        import wandb

        from difflab.runs.export_weights import Exported

        path = run.path / "wandb" / "model.safetensors"
        about = Exported.of(run).write(path, run.config)
        artifact = wandb.Artifact(f"{about['experiment']}-{self.wandb.id}", "model", metadata=about)
        for file in (path, run.config, run.result, *([run.codec] if run.codec.exists() else [])):
            artifact.add_file(str(file), policy="immutable", skip_cache=True)  # uploaded from where it lies
        self.wandb.log_artifact(artifact, aliases=["latest", "best"])

    def close(self, failed: bool) -> None:
        with self._never_in_the_way():
            finish_within(self.patience + GRACE_SECONDS, self.wandb, int(failed))

    @contextmanager
    def _never_in_the_way(self) -> Iterator[None]:
        """Within, what becomes of wandb is said once and nothing more: its process may be killed, its disk full."""
        import wandb
        from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError

        try:
            yield
        except TimeoutError:  # of finish
            self._say(f"its server did not take everything within logger.finish_timeout={self.patience:g} s")
        except (OSError, wandb.Error, HandleAbandonedError, MailboxClosedError) as error:
            self._say(f"it takes nothing more ({type(error).__name__}: {error})")

    def _is_gone(self) -> bool:
        """Whether an online run has lost its server, for which wandb would make artifacts wait, with no log of them."""
        why = None if self.wandb.offline else silence_of(str(self.wandb.settings.base_url))
        if why is not None:
            self._say(f"{why}, so the table of samples and the weights stay in the run")
        return why is not None

    def _say(self, what: str) -> None:
        if not self._lost:
            print(f"W&B: {what}; `{self._sync}` uploads what it has kept")
        self._lost = True


def _keep_files_in(run: Run) -> None:
    """Set before the import: wandb otherwise writes caches outside the run directory. Its settings stay the user's."""
    local = run.path / "wandb" / ".local"
    local.mkdir(parents=True, exist_ok=True)
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        os.environ[name] = str(local)
    os.environ["WANDB_ERROR_REPORTING"] = "false"


def _opened(cfg: DictConfig, run: Run) -> Any:
    """wandb's run; offline where the server does not take it."""
    import wandb

    wandb.setup(wandb.Settings(silent=True))
    mode = mode_of(cfg.logger)
    try:
        return _init(cfg, run, mode)
    except wandb.Error as error:
        if mode == "offline":
            raise
        begin_offline(f"{wandb.setup().settings.base_url} does not take the run ({in_words(error)})", cfg.logger)
    wandb.teardown()  # its process still holds the run's id
    wandb.setup(wandb.Settings(silent=True))
    return _init(cfg, run, "offline")


def _init(cfg: DictConfig, run: Run, mode: str) -> Any:
    import wandb

    config: Any = OmegaConf.to_container(cfg, resolve=True)
    return wandb.init(
        project=cfg.logger.project,
        name=_name(cfg, run),
        group=cfg.logger.group or cfg.name,
        id=cfg.logger.run_id,
        resume="allow",
        dir=run.path,
        mode=mode,  # type: ignore[arg-type]
        config={"environment": environment(), **config},
        settings=wandb.Settings(
            silent=True,
            console="off",
            x_transaction_log_flush_interval=1.0,  # else nothing is written for 15 s, and a kill loses it
            init_timeout=cfg.logger.start_timeout,
            finish_timeout=cfg.logger.finish_timeout,
            finish_timeout_raises=True,
        ),
    )


def _name(cfg: DictConfig, run: Run) -> str:
    """A job of a sweep, whose directory was named, is called by its overrides."""
    named = OmegaConf.select(cfg, "run_dir") is not None  # explain has none
    return run.path.name if named else f"{cfg.name}/{run.path.name}"
