"""The Inception of 2015 as TensorFlow ran it, on weights by the names of torch-fidelity's file.

Szegedy et al. 2015 (https://arxiv.org/abs/1512.00567). This graph differs from the paper's twice: average pools don't
count their padding, and the last block pools by the maximum.
"""

from collections.abc import Callable, Mapping
from functools import partial, reduce

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, max_pool2d

from difflab.metrics.folded import folded

SIZE = 299  # of the pictures that it was trained on

Layer = Callable[[Tensor], Tensor]


class InceptionV3:
    """The frozen network. Raises KeyError for the weights of another one."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self._layers = _layers(state)
        self._classes = state["fc.weight"]

    def __call__(self, images: UInt8[Tensor, "b 3 h w"]) -> tuple[Float32[Tensor, "b 2048"], Float32[Tensor, "b 1008"]]:
        """What the last block finds, averaged over each picture, and the logits of the classes without their bias."""
        features = self._layers(resized((images.float() - 128) / 128, SIZE)).mean((2, 3))
        return features, features @ self._classes.T


def resized(x: Float32[Tensor, "b c h w"], size: int) -> Float32[Tensor, "b c s s"]:
    """As TensorFlow 1 does: bilinear, no antialiasing, output pixel i at i h / s of the input. First along the rows."""
    for dim in (3, 2):
        n = x.shape[dim]
        at = torch.arange(size, device=x.device) * torch.tensor(n / size)
        low = at.long()
        left, right = x.index_select(dim, low), x.index_select(dim, (low + 1).clamp(max=n - 1))
        share = (at - low).reshape(-1, *[1] * (3 - dim))
        x = right.sub_(left).mul_(share).add_(left)
    return x


def _layers(state: Mapping[str, Tensor]) -> Layer:
    conv = partial(_conv, state)
    return _chain(
        conv("Conv2d_1a_3x3", stride=2, padded=False), conv("Conv2d_2a_3x3", padded=False), conv("Conv2d_2b_3x3"),
        _halved,
        conv("Conv2d_3b_1x1"), conv("Conv2d_4a_3x3", padded=False),
        _halved,
        *(_a(partial(_conv, state, f"Mixed_{name}.")) for name in ("5b", "5c", "5d")),
        _b(partial(_conv, state, "Mixed_6a.")),
        *(_c(partial(_conv, state, f"Mixed_{name}.")) for name in ("6b", "6c", "6d", "6e")),
        _d(partial(_conv, state, "Mixed_7a.")),
        _e(partial(_conv, state, "Mixed_7b."), _average),
        _e(partial(_conv, state, "Mixed_7c."), _maximum),
    )  # fmt: skip


Conv = Callable[..., Layer]
"""(name within the block) -> the layer"""


def _a(conv: Conv) -> Layer:
    return _beside(
        conv("branch1x1"),
        _chain(conv("branch5x5_1"), conv("branch5x5_2")),
        _chain(conv("branch3x3dbl_1"), conv("branch3x3dbl_2"), conv("branch3x3dbl_3")),
        _chain(_average, conv("branch_pool")),
    )


def _b(conv: Conv) -> Layer:
    return _beside(
        conv("branch3x3", stride=2, padded=False),
        _chain(conv("branch3x3dbl_1"), conv("branch3x3dbl_2"), conv("branch3x3dbl_3", stride=2, padded=False)),
        _halved,
    )


def _c(conv: Conv) -> Layer:
    return _beside(
        conv("branch1x1"),
        _chain(*(conv(f"branch7x7_{i}") for i in (1, 2, 3))),
        _chain(*(conv(f"branch7x7dbl_{i}") for i in (1, 2, 3, 4, 5))),
        _chain(_average, conv("branch_pool")),
    )


def _d(conv: Conv) -> Layer:
    return _beside(
        _chain(conv("branch3x3_1"), conv("branch3x3_2", stride=2, padded=False)),
        _chain(*(conv(f"branch7x7x3_{i}") for i in (1, 2, 3)), conv("branch7x7x3_4", stride=2, padded=False)),
        _halved,
    )


def _e(conv: Conv, pool: Layer) -> Layer:
    return _beside(
        conv("branch1x1"),
        _chain(conv("branch3x3_1"), _beside(conv("branch3x3_2a"), conv("branch3x3_2b"))),
        _chain(
            conv("branch3x3dbl_1"), conv("branch3x3dbl_2"), _beside(conv("branch3x3dbl_3a"), conv("branch3x3dbl_3b"))
        ),
        _chain(pool, conv("branch_pool")),
    )


def _conv(state: Mapping[str, Tensor], *names: str, stride: int = 1, padded: bool = True) -> Layer:
    """Convolution, batch-norm and ReLU; `padded` keeps the size of the picture."""
    name = "".join(names)
    weight, bias = folded(state, f"{name}.conv", f"{name}.bn")
    padding = [(n - 1) // 2 if padded else 0 for n in weight.shape[2:]]
    return lambda x: conv2d(x, weight, bias, stride, padding).relu_()


def _chain(*layers: Layer) -> Layer:
    return lambda x: reduce(lambda y, layer: layer(y), layers, x)


def _beside(*branches: Layer) -> Layer:
    return lambda x: torch.cat([branch(x) for branch in branches], 1)


def _halved(x: Tensor) -> Tensor:
    return max_pool2d(x, 3, stride=2)


def _average(x: Tensor) -> Tensor:
    return avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _maximum(x: Tensor) -> Tensor:
    return max_pool2d(x, 3, stride=1, padding=1)
