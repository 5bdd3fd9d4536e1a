"""How near a filled pixel comes to its exact distribution, against time travels: python bench/inpainting.py [PNG].

Pictures of two pixels, of which the first is kept. The denoiser is exact, that of a mixture of Gaussians in which one
pixel says much of the other, and the distribution of the second pixel given the first is known. The error is the
Wasserstein-1 distance of 2,000 fills to it, the mean over kept values and seeds; the floor is that of exact draws.
"""

import math
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean

import torch
from torch import Tensor

from difflab import samplers
from difflab.grids import UniformT
from difflab.oracles import Mixture
from difflab.rng import generator
from difflab.schedules import Cosine
from difflab.tasks.measurements import Consistency, KeptPixels
from difflab.zigzag import TimeTravel

STEPS = 50
TRIPS = (("ddpm", 10), ("ddpm", 5), ("ddpm", 1), ("heun", 1))  # sampler and grid.jump_length
VISITS = (1, 2, 5, 10, 20, 40)  # grid.jump_n_sample; 1 is plain replacement
MOST = {"ddpm": 20, "heun": 40}  # of them, for each sampler
FILLS, SEEDS = 2000, 2
LEVELS = torch.linspace(-3, 3, 3001)  # of the pixel, over which distribution functions are compared


@dataclass(frozen=True)
class Case:
    """Pairs of pixels, and the values of the kept one."""

    data: Mixture
    kept: tuple[float, ...]

    def given(self, kept: float) -> Mixture:
        """The second pixel where the first is `kept`: the same components, reweighted by how well they explain it."""
        first, second = self.data.means.reshape(-1, 2).T
        log_weights = self.data.weights.log() - (kept - first) ** 2 / (2 * self.data.std**2)
        return Mixture(second[:, None], self.data.std, log_weights.softmax(0))


def line() -> Case:
    """The second pixel is nearly 0.9 of the first: one lump, whatever is kept."""
    at = torch.linspace(-1, 1, 13)
    return Case(mixture(at, 0.9 * at, torch.ones(13)), (-0.7, 0.1, 0.8))


def ring() -> Case:
    """The second pixel is one of two, more often the upper one the farther on the right: two lumps."""
    angle = torch.arange(12) * math.pi / 6
    return Case(mixture(angle.cos(), angle.sin(), (1 + 0.9 * (angle + 0.5).sin()) ** 2), (-0.5, 0.3, 0.6))


def mixture(first: Tensor, second: Tensor, weights: Tensor) -> Mixture:
    return Mixture(
        torch.stack([first, second], 1)[:, None, None], torch.full_like(first, 0.15), weights / weights.sum()
    )


def filled(case: Case, sampler: str, jump_length: int, visits: int, seed: int, fills: int = FILLS) -> Tensor:
    """Fills of the second pixel, a row for each kept value."""
    noise = partial(_noise, generator(seed, "fill"))
    measure = KeptPixels(torch.tensor([[True, False]]))
    kept = torch.tensor(case.kept).repeat_interleave(fills)
    known = Consistency(measure, torch.stack([kept, 0 * kept], 1)[:, None, None])
    nodes = TimeTravel(STEPS, UniformT, jump_length, visits).nodes(Cosine())
    start = known.start(nodes)(case.data, noise, torch.zeros(len(kept), 1, 1, 2))
    steps = samplers.run(getattr(samplers, sampler), known(case.data), nodes, noise, start, start)
    return samplers.last(steps)[:, 0, 0, 1].reshape(len(case.kept), fills)


def exact(case: Case, seed: int, fills: int = FILLS) -> Tensor:
    """Draws of the distribution itself."""
    g = generator(seed, "exact")
    rows = []
    for pixel in map(case.given, case.kept):
        component = pixel.weights.multinomial(fills, replacement=True, generator=g)
        rows.append(pixel.means[component, 0] + pixel.std[component] * torch.randn(fills, generator=g))
    return torch.stack(rows)


def error(case: Case, fills: Tensor) -> float:
    """The mean over kept values of the area between the distribution functions, of the fills and of the truth."""
    areas = []
    for pixel, row in zip(map(case.given, case.kept), fills, strict=True):
        truth = (torch.special.ndtr((LEVELS[:, None] - pixel.means[:, 0]) / pixel.std) * pixel.weights).sum(1)
        found = torch.searchsorted(row.sort().values, LEVELS, right=True) / len(row)
        areas.append(torch.trapezoid((found - truth).abs(), LEVELS))
    return torch.stack(areas).mean().item()


def _noise(g: torch.Generator, like: Tensor) -> Tensor:
    return torch.randn(like.shape, generator=g)


def main() -> None:
    tables, floors = {}, {}
    for name, case in (("one lump", line()), ("two lumps", ring())):
        floors[name] = mean(error(case, exact(case, seed)) for seed in range(10 * SEEDS))
        print(f"{name}: exact draws {floors[name]:.4f}")
        print("jump_n_sample".rjust(24) + "".join(f"{v:>9}" for v in VISITS), flush=True)
        for sampler, jump in TRIPS:
            visits = [v for v in VISITS if v <= MOST[sampler]]
            errors = [mean(error(case, filled(case, sampler, jump, v, seed)) for seed in range(SEEDS)) for v in visits]
            tables[name, sampler, jump] = errors
            print(f"{sampler} jump_length={jump}".rjust(24) + "".join(f"{e:9.4f}" for e in errors), flush=True)
    if len(sys.argv) > 1:
        draw(tables, floors, Path(sys.argv[1]))


def draw(tables: dict[tuple[str, str, int], list[float]], floors: dict[str, float], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2, sharey=True), floors, strict=True):
        for sampler, jump in TRIPS:
            label = f"sampler={sampler} jump_length={jump}"
            errors = tables[name, sampler, jump]
            axes.loglog(VISITS[: len(errors)], errors, marker="o", markersize=4, label=label)
        axes.axhline(floors[name], color="grey", linestyle="--", label="exact draws")
        axes.set(xlabel="jump_n_sample (1: plain replacement)", title=f"{name} left by the kept pixel")
        axes.set_xticks(VISITS, [str(v) for v in VISITS])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("Wasserstein distance to the truth")
    figure.axes[0].legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
