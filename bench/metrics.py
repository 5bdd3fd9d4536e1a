"""What figures cost, each measured in one run beside what it is compared with.

.venv/bin/python bench/metrics.py            # about half an hour on two cores
.venv/bin/python bench/metrics.py frechet    # one part: frechet, extractor or scoring
SCORED=500 .venv/bin/python bench/metrics.py scoring    # of fewer pictures than 2,000

frechet: the Frechet distance of 2048 features, beside torchmetrics' own.
extractor: the default extractor's images/s.
scoring: 2,000 PNGs end to end, beside the bare pass over the same pictures, and beside torch-fidelity's
command line on the same two folders with its reference cached; both with one Inception of random weights.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torchmetrics.image.fid import _compute_fid

from difflab.compose import compose
from difflab.data.embedded import emoji
from difflab.evaluate import main as evaluate
from difflab.metrics.efficientnet_lite0 import EfficientNetLite0
from difflab.metrics.extractor import read
from difflab.metrics.frechet import distance
from difflab.metrics.gaussian import Gaussian
from difflab.metrics.inception import Inception
from difflab.pixels import save_png

sys.path.append(str(Path(__file__).parents[1] / "tests" / "metrics"))
import random_inception

N, DIM, IMAGES = 4000, 2048, 4096
SCORED = int(os.environ.get("SCORED", 2000))
REPEATS = 5
DIFFLAB = str(Path(sys.executable).with_name("difflab"))


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    value = call()
    return time.perf_counter() - start, value


def theirs(x: Tensor, y: Tensor) -> float:
    moments = [(z.double().mean(0), torch.cov(z.double().T)) for z in (x, y)]
    return float(_compute_fid(*moments[0], *moments[1]))


def frechet() -> None:
    x, y = torch.randn(2, N, DIM, generator=torch.Generator().manual_seed(0))
    ratios = []
    for _ in range(REPEATS):  # in turn, since the machine is not equally fast all the time
        ours_s, ours = timed(lambda: distance(Gaussian.of_features(x), Gaussian.of_features(y)))
        theirs_s, other = timed(lambda: theirs(x, y))
        ratios.append(ours_s / theirs_s)
        print(f"Frechet distance of {N} x {DIM} features: {ours_s:.2f} s ({ours:.6f})")
        print(f"the same by torchmetrics: {theirs_s:.2f} s ({other:.6f}), ratio {ratios[-1]:.2f}")
    print(f"median ratio: {median(ratios):.2f}")


def extractor() -> None:
    net, images = EfficientNetLite0(64), torch.randint(0, 256, (IMAGES, 1, 32, 32), dtype=torch.uint8)
    read(net, images[:64])
    seconds, _ = timed(lambda: read(net, images))
    print(f"EfficientNet-Lite0: {IMAGES / seconds:.0f} images/s")


def scoring() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["DIFFLAB_CACHE"] = str(folder / "cache")
        pixels = emoji((3, 32, 32))[0].pixels
        made = _written(pixels[:SCORED], folder / "a")
        real = _written(pixels[SCORED : 2 * SCORED], folder / "b")
        weights = folder / "inception.pth"
        sha256 = random_inception.write(weights)
        ours = ["metrics=inception", f"metrics.extractor.weights={weights}", f"metrics.extractor.sha256={sha256}"]
        subprocess.run([DIFFLAB, "evaluate", f"reference={real}", *ours], check=True)
        net = Inception(weights, sha256)
        read(net, pixels[: net.batch])
        bare_s, _ = timed(lambda: read(net, pixels[:SCORED]))
        asked = [f"from={made}", f"reference={real}", f"out={folder / 'ours.json'}", *ours]
        ours_s, _ = timed(lambda: evaluate(compose("evaluate", asked)))
        shutil.rmtree(folder / "cache" / "shards")
        command_s, _ = timed(lambda: subprocess.run([DIFFLAB, "evaluate", *asked], check=True))
        ratio = ours_s / bare_s
        print(f"{SCORED} PNGs, Inception: bare pass {bare_s:.1f} s, end to end {ours_s:.1f} s, ratio {ratio:.3f}")
        theirs_s = _fidelity(made, real, weights, folder)
    print(f"as a command {command_s:.1f} s, torch-fidelity's {theirs_s:.1f} s, ratio {command_s / theirs_s:.2f}")


def _written(pixels: Tensor, folder: Path) -> Path:
    for i, image in enumerate(pixels):
        save_png(folder / f"{i:05d}.png", image)
    return folder


def _fidelity(made: Path, real: Path, weights: Path, folder: Path) -> float:
    """Seconds of torch-fidelity's command, all its figures, the reference in its cache."""
    few = _written(torch.zeros(20, 3, 32, 32, dtype=torch.uint8), folder / "few")
    shared = [
        "--input2",
        real,
        "--input2-cache-name",
        "b",
        "--cache-root",
        folder / "theirs",
        "--save-cpu-ram",
        "--json",
    ]
    shared += ["--feature-extractor", "inception-v3-compat", "--feature-extractor-weights-path", weights]
    shared += ["--isc", "--fid", "--kid", "--prc", "--kid-subset-size"]

    def run(samples: Path, subset: int) -> None:
        command = [Path(sys.executable).with_name("fidelity"), "--input1", samples, *shared, subset]
        subprocess.run([str(word) for word in command], check=True)

    run(few, subset=20)
    return timed(lambda: run(made, subset=500))[0]


PARTS = {"frechet": frechet, "extractor": extractor, "scoring": scoring}


if __name__ == "__main__":
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()
