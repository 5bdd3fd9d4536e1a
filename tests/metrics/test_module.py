"""Any module as an extractor: what it gives, what its protocol says, and that nothing outside reaches it."""

import pytest
import torch
from made_pictures import shapes
from safetensors.torch import save_file
from torch import nn

from difflab.config.instantiate import build
from difflab.errors import DifflabError
from difflab.metrics.extractor import Extractor, read
from difflab.metrics.module import Module

FLATTEN = {"_target_": "torch.nn.Flatten"}
CONV = {"_target_": "torch.nn.Conv2d", "in_channels": 3, "out_channels": 5, "kernel_size": 3}


def test_the_pixels_of_a_thumbnail():
    images = shapes(4, seed=0)
    extractor = Module(FLATTEN, size=images.shape[-1])
    assert isinstance(extractor, Extractor) and not isinstance(extractor, nn.Module)
    expected = (images / 127.5 - 1).expand(-1, 3, -1, -1).flatten(1)
    assert extractor.dim == expected.shape[1]
    assert torch.allclose(read(extractor, images).features, expected, atol=1e-6)


def test_a_map_of_features_is_averaged_over_the_picture():
    net = nn.Conv2d(3, 5, 3)
    extractor, images = Module(net, size=16), shapes(4, seed=0)[..., :16, :16]
    with torch.no_grad():
        expected = net((images / 127.5 - 1).expand(-1, 3, -1, -1)).mean((2, 3))
    assert extractor.dim == 5
    assert torch.allclose(extractor(images).features, expected, atol=1e-6)


def test_it_is_a_copy_that_nobody_trains():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout(0.5))
    extractor, images = Module(net, size=16), shapes(4, seed=0)
    before = extractor(images).features
    net.train()
    with torch.no_grad():
        net[0].weight.zero_()
    assert net.training and net[0].weight.requires_grad
    assert torch.equal(extractor(images).features, before)
    assert not before.requires_grad
    parts = torch.cat([extractor(chunk).features for chunk in images.split(1)])
    assert torch.allclose(parts, before, rtol=1e-5, atol=1e-6)  # batch norm does not look at the batch


def test_random_weights_come_from_the_seed_alone():
    state = torch.random.get_rng_state()
    first, same, other = (Module(CONV, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    images = shapes(2, seed=0)
    assert torch.equal(first(images).features, same(images).features)
    assert first.weights_sha256 == same.weights_sha256 != other.weights_sha256


@pytest.mark.parametrize("change", [{"stride": 2}, {"padding": 1}, {"padding": 1, "padding_mode": "circular"}])
def test_the_hash_tells_apart_what_the_weights_cannot(change):
    """The reference cache would otherwise give one module the features of another."""
    one, two = nn.Conv2d(3, 5, 3), nn.Conv2d(3, 5, 3, **change)
    two.load_state_dict(one.state_dict())
    assert Module(one).weights_sha256 != Module(two).weights_sha256
    assert Module(CONV).weights_sha256 != Module({**CONV, **change}).weights_sha256


def test_mean_std_and_size_are_in_the_resize_rule():
    assert Module(FLATTEN, size=8, mean=[0.4, 0.5, 0.6], std=[1.0, 1.0, 1.0]).resize == (
        "bilinear 8x8 antialias=True, grey to RGB, mean 0.4,0.5,0.6 std 1,1,1"
    )


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_weights_of_a_file(tmp_path, suffix):
    net, path = nn.Conv2d(3, 5, 3), tmp_path / f"weights.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(net.state_dict(), path)
    filled, images = Module(CONV, weights=str(path)), shapes(2, seed=0)
    assert torch.equal(filled(images).features, Module(net)(images).features)
    assert filled.weights_sha256 != Module(CONV).weights_sha256


def test_weights_that_cannot_be_used(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"bias": torch.zeros(5)}, path)
    with pytest.raises(DifflabError, match=r'does not fit metrics.extractor.module: .*Missing key.*"weight"'):
        Module(CONV, weights=path)
    torch.save({"state": {"bias": torch.zeros(5)}}, path)
    with pytest.raises(DifflabError, match="no state dict of tensors alone"):
        Module(CONV, weights=path)
    torch.save({"weight": print}, path)
    with pytest.raises(DifflabError, match="holds more than tensors"):
        Module(CONV, weights=path)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ({"_target_": "torch.nn.Linear", "in_features": 3, "out_features": 4}, "cannot read pictures of 3x64x64"),
        ({"_target_": "torch.nn.Flatten", "start_dim": 2}, r"gives a tensor of shape \(1, 3, 4096\) for input"),
        ({"_target_": "difflab.metrics.kid.KernelDistance"}, "builds a KernelDistance, not an nn.Module"),
        ({"_target_": "os.getcwd"}, "may only build"),
    ],
)
def test_modules_that_cannot_be(module, message):
    with pytest.raises(DifflabError, match=message) as error:
        Module(module)
    assert "\n" not in str(error.value)


def test_numbers_that_cannot_be():
    with pytest.raises(DifflabError, match=r"std=\[0.5, 0.0, 0.5\]: three numbers, one a channel, std above 0"):
        Module(FLATTEN, std=[0.5, 0.0, 0.5])
    with pytest.raises(DifflabError, match=r"mean=\[0.5\]: three numbers"):
        Module(FLATTEN, mean=[0.5])


def test_torchvisions_networks_are_trusted():
    node = {"_target_": "difflab.metrics.module.Module", "_recursive_": False, "size": 32}
    net = {"_target_": "torchvision.models.squeezenet1_1", "weights": None, "num_classes": 7}
    assert build({**node, "module": net}).dim == 7
