"""What figures cost: the Frechet distance beside torchmetrics', and the default extractor's images/s.

.venv/bin/python bench/metrics.py
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics.image.fid import _compute_fid

from difflab.metrics.efficientnet_lite0 import EfficientNetLite0
from difflab.metrics.extractor import read
from difflab.metrics.frechet import distance
from difflab.metrics.gaussian import Gaussian

N, DIM, IMAGES = 4000, 2048, 4096


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    value = call()
    return time.perf_counter() - start, value


def theirs(x: Tensor, y: Tensor) -> float:
    moments = [(z.double().mean(0), torch.cov(z.double().T)) for z in (x, y)]
    return float(_compute_fid(*moments[0], *moments[1]))


def main() -> None:
    x, y = torch.randn(2, N, DIM, generator=torch.Generator().manual_seed(0))
    ours_s, ours = timed(lambda: distance(Gaussian.of_features(x), Gaussian.of_features(y)))
    theirs_s, other = timed(lambda: theirs(x, y))
    print(f"Frechet distance of {N} x {DIM} features: {ours_s:.2f} s ({ours:.6f})")
    print(f"the same by torchmetrics: {theirs_s:.2f} s ({other:.6f})")
    extractor, images = EfficientNetLite0(64), torch.randint(0, 256, (IMAGES, 1, 32, 32), dtype=torch.uint8)
    read(extractor, images[:64])
    seconds, _ = timed(lambda: read(extractor, images))
    print(f"EfficientNet-Lite0: {IMAGES / seconds:.0f} images/s")


if __name__ == "__main__":
    main()
