"""How near each sampler comes to the exact flow for its evaluations: python bench/samplers.py [PNG].

The denoiser is exact: that of 50 embedded garments at 16x16, each blurred by 0.1. The answer is Heun's in 400 steps.
The error is the root of the mean square over pixels, its median over 64 pictures, so a few that tip to another garment
do not decide.
"""

import sys
from functools import partial
from pathlib import Path

import torch

from difflab import samplers
from difflab.data.embedded import fashion_mini
from difflab.grids import Karras
from difflab.oracles import Mixture
from difflab.pixels import to_model
from difflab.rng import SampleNoise
from difflab.schedules import Cosine

EVALUATIONS = (6, 8, 12, 16, 24, 32, 48)
N = 64

DETERMINISTIC = {
    "ddim": samplers.ddim,
    "heun": samplers.heun,
    "dpmpp_2m": samplers.dpmpp_2m,
    "dpmpp_3m": samplers.dpmpp_3m,
    "unipc order=2": partial(samplers.unipc, order=2),
    "unipc order=3": partial(samplers.unipc, order=3),
    "deis order=3": partial(samplers.deis, order=3),
    "lms order=4": partial(samplers.deis, order=4, variable="rho"),
}


def pictures(sampler, steps: int, denoise: Mixture) -> torch.Tensor:  # type: ignore[no-untyped-def]
    like = torch.zeros(N, 1, 16, 16, dtype=torch.float64)
    nodes = Karras(steps, sigma_min=0.02).nodes(Cosine())
    return samplers.last(samplers.run(sampler, denoise, nodes, SampleNoise(0, range(N)), like))


def main() -> None:
    train, _ = fashion_mini((1, 16, 16))
    means = to_model(train.pixels[:50]).double()
    denoise = Mixture(means, means.new_full((50,), 0.1), means.new_full((50,), 1 / 50))
    exact = pictures(samplers.heun, 400, denoise)
    print(f"{'evaluations':>16}" + "".join(f"{n:>9}" for n in EVALUATIONS))
    table = {}
    for name, sampler in DETERMINISTIC.items():
        steps = [(n + 1) // 2 if name == "heun" else n for n in EVALUATIONS]
        errors = [pictures(sampler, s, denoise) - exact for s in steps]
        table[name] = [e.square().mean((1, 2, 3)).sqrt().median().item() for e in errors]
        print(f"{name:>16}" + "".join(f"{e:9.4f}" for e in table[name]), flush=True)
    if len(sys.argv) > 1:
        draw(table, Path(sys.argv[1]))


def draw(table: dict[str, list[float]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, errors in table.items():
        axes.loglog(EVALUATIONS, errors, marker="o", markersize=4, label=name)
    axes.set(xlabel="evaluations of the denoiser", ylabel="median RMS error of a picture")
    axes.set_xticks(EVALUATIONS, [str(n) for n in EVALUATIONS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
