"""difflab likelihood: bits per dimension of a run's pictures, by the variational bound and by the flow's ODE."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from omegaconf import DictConfig
from torch import Tensor

from difflab import assemble
from difflab.conditions.none import NoCondition
from difflab.config.instantiate import build
from difflab.data.image_data import from_config
from difflab.data.images import Images
from difflab.denoiser import Denoiser
from difflab.errors import DifflabError
from difflab.files import write_json
from difflab.latents.settings import refuse_latents
from difflab.metrics import dequantisation
from difflab.metrics.estimates import FlowDraws, bound_terms, flow_bits, over_pictures
from difflab.metrics.flow_likelihood import RK4, Adaptive, Heun, ends
from difflab.metrics.ladder import first_time, ladder
from difflab.metrics.level_draws import LevelDraws
from difflab.metrics.protocol import Entry, Figure
from difflab.metrics.vlb import Bound, variance_of
from difflab.pictures.terms import Table, draw, table_of
from difflab.pixels import save_png, to_model
from difflab.predictions import check_recoverable
from difflab.progress import images_bar
from difflab.rng import generator
from difflab.runs.directory import find_run
from difflab.runs.weights import load_denoiser
from difflab.schedules import Schedule

METHODS = ("vlb", "ode")


@dataclass(frozen=True)
class Subject:
    """Whose likelihood of which pictures."""

    denoiser: Denoiser
    schedule: Schedule
    x0: Float[Tensor, "n c h w"]
    indices: Sequence[int]  # in the split
    protocol: dict[str, Entry]
    seed: int
    batch: int


@dataclass(frozen=True)
class Finding:
    """A figure, what to say below it, and what the file holds beside it."""

    figure: Figure
    note: str
    details: dict[str, Any]
    table: Table | None = None


def main(cfg: DictConfig) -> Path:
    """Print each figure with its protocol, write likelihood.json and terms.png; returns the folder."""
    check(cfg)
    subject = _subject(cfg)
    found = []
    for method in METHODS:
        if method in cfg.method:
            found.append({"vlb": variational, "ode": probability_flow}[method](cfg, subject))
            print(found[-1].figure, found[-1].note, sep="\n")
    out = find_run(cfg["from"]).output("likelihood", cfg.out)
    pictures = {"split": cfg.split, "indices": list(subject.indices)}
    details = {f.figure.name: f.details for f in found}
    for table in (f.table for f in found if f.table is not None):
        flow = next((f.figure for f in found if f.table is None), None)
        save_png(out / "terms.png", draw(table, found[0].figure, flow))
    write_json(
        out / "likelihood.json", {"figures": [f.figure.to_json() for f in found], "pictures": pictures, **details}
    )
    print(f"likelihood: {out}")
    return out


def check(cfg: DictConfig) -> None:
    """Raises DifflabError for words that mean nothing here."""
    unknown = [m for m in cfg.method if m not in METHODS]
    if unknown or not len(cfg.method):
        raise DifflabError(f"method={list(cfg.method)}: name vlb, ode or both, as in method=[vlb]")
    if cfg.n < 1:
        raise DifflabError(f"n={cfg.n}: it is a whole number, 1 or more")


def _subject(cfg: DictConfig) -> Subject:
    run, device = find_run(cfg["from"]), assemble.device(cfg.trainer)
    refuse_latents(run.read_config(), "difflab likelihood measures a density of pixels")
    denoiser, checkpoint = load_denoiser(run, cfg.weights)
    data = from_config(cfg.data, batch_size=1, seed=0)
    data.setup()
    images, indices = chosen(data.train if cfg.split == "train" else data.val, cfg.n, cfg.seed)
    protocol: dict[str, Entry] = {
        "n": len(images),
        "pictures": f"{cfg.data.name}/{cfg.split}",
        "pictures_digest": images.digest(),
        "shape": "x".join(map(str, images.shape)),
        "seed": cfg.seed,
        "weights": cfg.weights,
        "ema_halflife_nimg": run.read_config().ema.halflife_nimg if cfg.weights == "ema" else None,
        "nimg": checkpoint["nimg"],
        "schedule": assemble.describe(cfg.schedule),
    }
    if not isinstance(denoiser.condition, NoCondition):
        protocol["condition"] = "none"  # the density of pictures, whatever they show
    x0 = to_model(images.pixels).to(device)
    denoiser = denoiser.to(device).requires_grad_(False)
    return Subject(denoiser, build(cfg.schedule), x0, indices, protocol, cfg.seed, cfg.batch)


def chosen(images: Images, n: int, seed: int) -> tuple[Images, list[int]]:
    """`n` of them in a random order that is the seed's, or all; and their places in the split."""
    order = torch.randperm(len(images), generator=generator(seed, "pictures"))[:n]
    return images.select(order), order.tolist()


def variational(cfg: DictConfig, subject: Subject) -> Finding:
    """The bound, its terms by level, and the parts that are no KL of a step."""
    c, start = cfg.vlb, time.monotonic()
    steps = ladder(subject.schedule, c.levels, c.sigma_min, c.spacing)
    denoiser, variance = subject.denoiser, variance_of(subject.denoiser, c.variance)
    check_recoverable(denoiser.prediction, subject.schedule, steps.nodes())
    bound = Bound(denoiser, steps, variance, denoiser.sigma_data, c.clip)
    draws = LevelDraws(steps, denoiser.sigma_data, c.levels_per_picture)
    terms = bound_terms(bound, draws, subject.x0, subject.indices, subject.seed, subject.batch, images_bar)
    bits = terms.total()
    estimate, table = over_pictures(bits), table_of(steps, terms)
    protocol = subject.protocol | {
        "levels": c.levels,
        "levels_per_picture": c.levels_per_picture,
        "spacing": c.spacing,
        "sigma_min": _rounded((steps.sigma[0] / steps.alpha[0]).item()),
        "variance": variance,
        "clip": str(c.clip).lower(),
    }
    figure = Figure("bits_per_dim_vlb", estimate.value, estimate.error, protocol)
    note = (
        f"  of these, {table.prior:.2g} for the noise, {table.steps:.4g} for the steps, {table.pixels:.3g} for the "
        f"pixels in the last one; {draws.evaluations} evaluations a picture, {time.monotonic() - start:.1f} s"
    )
    return Finding(figure, note, {**table.numbers(), "bits": bits.tolist()}, table)


def probability_flow(cfg: DictConfig, subject: Subject) -> Finding:
    """The density of dequantised pixels, with the two parts of its error."""
    c, start = cfg.ode, time.monotonic()
    first = first_time(subject.schedule, subject.schedule.t_min, c.sigma_min, "ode.sigma_min")
    denoiser = subject.denoiser
    path = ends(subject.schedule, denoiser.sigma_data, first)
    check_recoverable(denoiser.prediction, subject.schedule, path.nodes())
    adaptive = c.solver == "adaptive"
    solve: Adaptive | Heun | RK4 = Heun(c.steps) if c.solver == "heun" else RK4(c.steps)
    if adaptive:
        solve = Adaptive(c.tolerance, c.tolerance)
    draws = FlowDraws(dequantisation.KINDS[c.dequantisation], c.probe, c.probes, adaptive, c.twice)
    batch = 1 if adaptive else subject.batch
    bits = flow_bits(
        denoiser, path, solve, draws, subject.x0, subject.indices, subject.seed, batch, solve.nfe, images_bar
    )
    estimate = over_pictures(*bits)
    protocol = subject.protocol | {
        "solver": f"{c.solver}({c.tolerance:g})" if adaptive else f"{c.solver}({c.steps})",
        "nfe": solve.nfe,
        "probes": "exact" if c.probes is None else f"{c.probes} {c.probe}",
        "dequantisation": c.dequantisation,
        "sigma_min": _rounded(path.sigma_min),
    }
    figure = Figure("bits_per_dim_ode", estimate.value, estimate.error, protocol)
    details = {"error_of_draws": estimate.of_draws, "bits": bits.first.tolist(), "again": bits.second.tolist()}
    return Finding(figure, f"  {_parts(estimate.error, estimate.of_draws)}{time.monotonic() - start:.1f} s", details)


def _parts(error: float | None, of_draws: float | None) -> str:
    if error is None or of_draws is None:
        return ""
    others = max(error**2 - of_draws**2, 0) ** 0.5
    return f"of this error, {others:.2g} is the pictures' and {of_draws:.2g} that of dequantisation and probes; "


def _rounded(x: float) -> float:
    return float(f"{x:.4g}")
