"""difflab explain: pictures of what diffusion does, for any schedule, data set or run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from difflab.errors import DifflabError
from difflab.files import conf_dir
from difflab.runs.directory import Run, find_run, read_result

if TYPE_CHECKING:
    import difflab.pictures.guesser
    import difflab.pictures.subject

AT_LEAST = {"n": 1, "steps": 2, "measured": 2, "by_heart": 1, "frames": 2}
NAMED = ("schedule", "prediction", "weighting", "times", "sampler", "grid")  # in captions


def main(cfg: DictConfig) -> Path:
    """Write the pictures, films and explain.json; prints and returns the folder.

    Everything is checked, measured and drawn before anything is written.
    """
    check(cfg)
    from difflab.pictures import album, guesser

    run = find_run(cfg["from"]) if cfg["from"] is not None else None
    who = guesser.learned_by_heart(cfg) if run is None else guesser.network(cfg, run)
    subject = _subject(cfg, who)
    pages = album.drawn(subject)
    out = Path(cfg.out) if cfg.out is not None else run.outputs / "explain" if run else Path("outputs/explain")
    about = {"nimg": who.nimg, "names": subject.names, "config": OmegaConf.to_container(cfg, resolve=True)}
    paths = album.write(pages, out, about)
    if cfg.logger.kind != "none":
        _track(cfg, run, who.nimg or 0, Run(out), paths, pages["guesses"].numbers["levels"])
    print(f"pictures: {out}")
    return out


def check(cfg: DictConfig) -> None:
    """Raises DifflabError for a setting that no picture can be drawn with, before anything is loaded."""
    for key, least in AT_LEAST.items():
        if cfg[key] < least:
            raise DifflabError(f"{key}={cfg[key]}: it is a whole number, {least} or more")
    if not len(cfg.at):
        raise DifflabError("at=[]: name one step at least, such as at=[497]")
    for step in cfg.at:
        if not (isinstance(step, int) and 1 <= step <= cfg.steps):
            raise DifflabError(f"at={step}: a step at which is guessed is a whole number from 1 to steps={cfg.steps}")
    if cfg.logger.kind == "csv":
        raise DifflabError("logger=csv: a table takes no pictures; explain.json has the numbers, or take logger=wandb")
    _check_names(cfg.compare)


def _check_names(names: Sequence[Any]) -> None:
    from difflab.errors import near

    known = sorted(path.stem for path in (conf_dir() / "weighting").glob("*.yaml"))
    for name in names:
        if name not in known:
            hint = f"{near(str(name), known)} (it is one of {', '.join(known)})"
            raise DifflabError(f"compare={name}: there is no such weighting{hint}")


def _subject(cfg: DictConfig, who: "difflab.pictures.guesser.Guesser") -> "difflab.pictures.subject.Subject":
    """Raises DifflabError for steps of `at` that the schedule leaves out, or at which the prediction says nothing."""
    from difflab.config.instantiate import build
    from difflab.pictures.levels import Ladder
    from difflab.pictures.subject import Subject
    from difflab.predictions import check_recoverable

    ladder = Ladder(build(cfg.schedule), cfg.steps)
    ladder.check(cfg.at)
    check_recoverable(build(cfg.prediction), ladder.schedule, ladder.nodes(cfg.at))
    names = {group: _named(cfg[group]) for group in NAMED}
    return Subject(
        ladder=ladder,
        x0=who.x0,
        n=cfg.n,
        at=sorted(set(cfg.at)),
        frames=cfg.frames,
        seed=cfg.seed,
        denoise=who.denoise,
        prediction=build(cfg.prediction),
        generation=who.generation,
        weighting=build(cfg.weighting),
        others=_others(cfg),
        times=build(cfg.times),
        names=names | {"data": cfg.data.name, "denoiser": who.name, "x0": who.pictures},
    )


def _others(cfg: DictConfig) -> dict[str, Any]:
    """The weightings to compare with, as their files have them for this data."""
    from difflab.config.instantiate import build

    files = {name: OmegaConf.load(conf_dir() / "weighting" / f"{name}.yaml") for name in cfg.compare}
    return {
        name: build(OmegaConf.create({"data": cfg.data, "latent": cfg.latent, "w": node}).w)
        for name, node in files.items()
    }


def _named(node: DictConfig) -> str:
    """`Cosine(t_max=1.0)`: its target's last name and its numbers, without what is built of nodes."""
    plain = {str(key): node[key] for key in node if not str(key).startswith("_") and not OmegaConf.is_config(node[key])}
    numbers = ", ".join(f"{key}={value}" for key, value in plain.items())
    return f"{node['_target_'].rpartition('.')[2]}({numbers})".removesuffix("()")


def _track(
    cfg: DictConfig, run: Run | None, nimg: int, out: Run, paths: Sequence[Path], levels: list[dict[str, Any]]
) -> None:
    """Send pictures and errors where logger= says: of a finished run, into its own W&B run."""
    from difflab.tracking import open_tracker

    told = _told(cfg, run)
    errors = {f"explain/{name}_mse/t={x['t']:g}": x[f"{name}_mse"] for name in ("eps", "x0") for x in levels}
    tracker, failed = open_tracker(told, run or out), True
    try:
        for path in paths:
            film = "_film" if path.suffix == ".gif" else ""
            tracker.picture(nimg, f"explain/{path.stem}{film}", path, "")
        tracker.log({"nimg": nimg, **errors})
        print(tracker.where)
        failed = False
    finally:
        tracker.close(failed)


def _told(cfg: DictConfig, run: Run | None) -> DictConfig:
    """What the tracker is told: the run's own configuration, so that nothing of it changes, else this one.

    A run that may still be training (no result.json) keeps its W&B run for itself.
    """
    if run is None:
        return OmegaConf.create({"name": "explain", **OmegaConf.to_container(cfg, resolve=True)})  # type: ignore[dict-item]
    told = run.read_config()
    before, told.logger = told.logger, cfg.logger
    if before.kind == cfg.logger.kind == "wandb" and read_result(run) and cfg.logger.run_id is None:
        told.logger.run_id, told.logger.project = before.run_id, before.project
        OmegaConf.update(told, "environment", _environment(run), force_add=True)
    return told


def _environment(run: Run) -> dict[str, Any]:
    """What trained the run, as its result.json has it."""
    result = read_result(run)
    return {name: result[name] for name in ("git", "python", "packages")}
