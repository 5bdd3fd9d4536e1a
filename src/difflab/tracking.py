"""Where measurements go: metrics.jsonl always, and the trackers that logger= names."""

import csv
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from difflab.files import replacing
from difflab.metrics.protocol import Entry, Figure, settings
from difflab.runs import Run, read_metrics, read_rows


class Recorder:
    """Writes rows of measurements to the run directory and to every tracker, over the images seen."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.loggers: list[Any] = []  # opened when the run is
        self._start = time.monotonic()
        self._protocols: dict[str, dict[str, Entry]] = {}

    @property
    def wall_s(self) -> float:
        """Seconds since the run began, counting all its sessions."""
        return time.monotonic() - self._start

    def rewind(self, nimg: int, wall_s: float) -> None:
        """Forget rows later than the checkpoint that is resumed, and go on with its clock."""
        for path in (self.run.metrics, self.run.figures):
            rows = [row for row in read_rows(path) if row["nimg"] <= nimg]
            with replacing(path) as temporary:
                temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
        self._start = time.monotonic() - wall_s

    def log(self, nimg: int, values: Mapping[str, float]) -> None:
        row = {"nimg": nimg, "wall_s": round(self.wall_s, 3), **values}
        with self.run.metrics.open("a") as file:
            file.write(json.dumps(row) + "\n")
        for logger in self.loggers:
            logger.log_metrics(row, step=nimg)

    def figures(self, nimg: int, rows: Mapping[str, Figure]) -> None:
        """Figures by the names of their rows: values to the curves, with errors and protocols to figures.jsonl."""
        with self.run.figures.open("a") as file:
            for name, figure in rows.items():
                file.write(json.dumps({"nimg": nimg, "row": name, **figure.to_json()}) + "\n")
        self._show_protocols({name: figure.protocol for name, figure in rows.items() if name not in self._protocols})
        self.log(nimg, {name: figure.value for name, figure in rows.items()})

    def _show_protocols(self, new: Mapping[str, Mapping[str, Entry]]) -> None:
        """To W&B's configuration, once a row, without what changes from figure to figure."""
        self._protocols |= {name: settings(protocol) for name, protocol in new.items()}
        for logger in self.loggers if new else ():
            if type(logger).__name__ == "WandbLogger":
                logger.experiment.config.update({"protocols": self._protocols}, allow_val_change=True)

    def picture(self, nimg: int, name: str, path: Path) -> None:
        """A PNG or GIF that lies in the run directory, sent to the trackers that show pictures."""
        for logger in self.loggers:
            kind = type(logger).__name__
            if kind == "WandbLogger":
                _wandb_picture(logger, nimg, name, path)
            elif kind == "TensorBoardLogger" and path.suffix == ".png":
                _tensorboard_picture(logger, nimg, name, path)


def _wandb_picture(logger: Any, nimg: int, name: str, path: Path) -> None:
    import wandb

    media = wandb.Video(str(path)) if path.suffix == ".gif" else wandb.Image(str(path))
    logger.experiment.log({name: media, "nimg": nimg})


def _tensorboard_picture(logger: Any, nimg: int, name: str, path: Path) -> None:
    import numpy as np
    from PIL import Image

    logger.experiment.add_image(name, np.array(Image.open(path).convert("RGB")), nimg, dataformats="HWC")


def open_loggers(cfg: DictConfig, run: Run) -> list[Any]:
    """Lightning's loggers as logger= names them; none of them asks a question or waits for a server."""
    from pytorch_lightning.loggers import TensorBoardLogger

    if cfg.logger.kind == "wandb":
        return [_open_wandb(cfg, run)]
    if cfg.logger.kind == "tensorboard":
        return [TensorBoardLogger(run.path, name="tensorboard", version="")]
    return []


def _open_wandb(cfg: DictConfig, run: Run) -> Any:
    from pytorch_lightning.loggers import WandbLogger

    # Set before the import: wandb otherwise writes caches outside the run directory. Its settings stay the user's.
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        os.environ[name] = str(run.path / "wandb" / ".local")
    os.environ["WANDB_ERROR_REPORTING"] = "false"
    (run.path / "wandb" / ".local").mkdir(parents=True, exist_ok=True)
    import wandb

    wandb.setup(wandb.Settings(silent=True))
    experiment = wandb.init(
        project=cfg.logger.project,
        name=run_name(cfg, run),
        group=OmegaConf.select(cfg, "logger.group") or cfg.name,
        id=cfg.logger.run_id,
        resume="allow",
        dir=run.path,
        mode="online" if online(cfg.logger.mode) else "offline",
        config=OmegaConf.to_container(cfg, resolve=True),  # type: ignore[arg-type]
        # An offline run otherwise writes nothing for 15 s, and a kill loses it.
        settings=wandb.Settings(x_transaction_log_flush_interval=1.0, silent=True, console="off"),
    )
    experiment.define_metric("nimg")
    experiment.define_metric("*", step_metric="nimg")
    return WandbLogger(experiment=experiment)


def run_name(cfg: DictConfig, run: Run) -> str:
    """What trackers call the run: a job of a sweep, whose directory was named, by its overrides."""
    named = OmegaConf.select(cfg, "run_dir") is not None
    return run.path.name if named else f"{cfg.name}/{run.path.name}"


def online(mode: str) -> bool:
    """auto is online only where a key is found and the server answers; it never asks, and says what it decided."""
    if mode != "auto":
        return mode == "online"
    import wandb

    try:
        found = wandb.login(prompt=False)
    except wandb.Error as error:
        print(f"W&B offline: a key is found, but its server does not take it ({str(error).splitlines()[0]})")
        return False
    if not found:
        print("W&B offline: no key found (`wandb login` sets one)")
    return found


def describe_loggers(loggers: Sequence[Any]) -> str:
    """One line for the terminal: where the curves are."""
    for logger in loggers:
        if type(logger).__name__ == "WandbLogger":
            run = logger.experiment
            return f"W&B: `wandb sync {Path(run.dir).parent}` uploads it" if run.offline else f"W&B: {run.url}"
    return ""


def close_loggers(cfg: DictConfig, recorder: Recorder, failed: bool) -> None:
    if cfg.logger.kind == "csv":
        write_csv(recorder.run)
    for logger in recorder.loggers:
        logger.finalize("failed" if failed else "success")
        if type(logger).__name__ == "WandbLogger":
            logger.experiment.finish(exit_code=int(failed))


def write_csv(run: Run) -> None:
    """metrics.csv: the rows of metrics.jsonl as a table, with a column for everything that was ever measured."""
    rows = read_metrics(run)
    names = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(run.path / "metrics.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
