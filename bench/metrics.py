"""What figures cost, each measured in one run beside what it is compared with.

.venv/bin/python bench/metrics.py            # about half an hour on two cores
.venv/bin/python bench/metrics.py frechet    # one part: frechet, extractor or scoring
SCORED=500 .venv/bin/python bench/metrics.py scoring    # of fewer pictures than 2,000

frechet: the Frechet distance of 2048 features, beside torchmetrics' own.
extractor: the default extractor's images/s, and those of Inception beside torch-fidelity's network.
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
from unittest.mock import patch

import torch
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchmetrics.image.fid import _compute_fid

from difflab.config.compose import compose
from difflab.data.embedded import emoji
from difflab.evaluate import main as evaluate
from difflab.metrics.efficientnet_lite0 import EfficientNetLite0
from difflab.metrics.extractor import read
from difflab.metrics.frechet import distance
from difflab.metrics.gaussian import Gaussian
from difflab.metrics.inception import Inception
from difflab.pixels import save_png
from difflab.scoring.picture_sets import open_pictures
from difflab.scoring.shards import Shards

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.metrics import random_inception

N, DIM, IMAGES, INCEPTION = 4000, 2048, 4096, 128
BATCH = 64  # torch-fidelity's own
SCORED = int(os.environ.get("SCORED", 2000))
REPEATS, FEW = 5, 192
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
    with TemporaryDirectory() as name:
        _inception(Path(name) / "inception.pth", images[:INCEPTION].expand(-1, 3, -1, -1))


def _inception(weights: Path, images: Tensor) -> None:
    net = Inception(weights, random_inception.write(weights))
    reference = FeatureExtractorInceptionV3("theirs", ["2048", "logits_unbiased"], str(weights))
    ratios = []
    for _ in range(REPEATS):
        ours_s, _ = timed(lambda: read(net, images))
        theirs_s, _ = timed(lambda: [reference(part) for part in images.split(BATCH)])
        ratios.append(ours_s / theirs_s)
        print(f"Inception: {INCEPTION / ours_s:.1f} images/s, torch-fidelity's {INCEPTION / theirs_s:.1f}")
    print(f"median ratio of the times: {median(ratios):.2f}")


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
        asked = [f"from={made}", f"reference={real}", f"out={folder / 'ours.json'}", *ours]
        _in_turn(Inception(weights, sha256), pixels[: min(FEW, SCORED)], made, folder / "shards")
        _beside_the_bare_pass(pixels[:SCORED], asked)
        shutil.rmtree(folder / "cache" / "shards")
        command_s, _ = timed(lambda: subprocess.run([DIFFLAB, "evaluate", *asked], check=True))
        theirs_s = _fidelity(made, real, weights, folder)
    print(f"as a command {command_s:.1f} s, torch-fidelity's {theirs_s:.1f} s, ratio {command_s / theirs_s:.3f}")


def _beside_the_bare_pass(pixels: Tensor, asked: list[str]) -> None:
    """An evaluation beside the time that it spends in the extractor: runs of minutes differ by 8 % on one machine."""
    spent = []
    call = Inception.__call__

    def timed_call(self: Inception, images: Tensor) -> Any:
        seconds, reading = timed(lambda: call(self, images))
        spent.append(seconds)
        return reading

    with patch.object(Inception, "__call__", timed_call):
        ours_s, _ = timed(lambda: evaluate(compose("evaluate", asked)))
    print(
        f"{len(pixels)} PNGs, Inception: end to end {ours_s:.1f} s, of which the bare pass {sum(spent):.1f} s, "
        f"ratio {ours_s / sum(spent):.3f}"
    )


def _in_turn(net: Inception, pixels: Tensor, made: Path, shards: Path) -> None:
    """Whether the pass within an evaluation, with threads that read PNGs ahead, is as fast as the bare one."""
    source = open_pictures(made, str(made), None, None, seed=0)
    few = len(pixels)
    ratios = []
    for _ in range(REPEATS):
        bare_s, _ = timed(lambda: read(net, pixels))
        within_s, _ = timed(lambda: Shards(source, net, few, shards).make())
        shutil.rmtree(shards)
        ratios.append(within_s / bare_s)
    print(f"{few} PNGs in shards beside the bare pass, in turn: median ratio {median(ratios):.3f}")


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
    return timed(lambda: run(made, subset=min(500, SCORED)))[0]


PARTS = {"frechet": frechet, "extractor": extractor, "scoring": scoring}


if __name__ == "__main__":
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()
