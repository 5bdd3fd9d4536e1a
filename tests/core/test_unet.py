"""The U-Net maps pictures to pictures, starts at zero, and says what it costs."""

import pytest
import torch
from omegaconf import OmegaConf

from difflab.denoiser import Denoiser
from difflab.errors import DifflabError
from difflab.files import conf_dir
from difflab.nets.attention import Attention
from difflab.nets.cost import gflop_per_image, parameters
from difflab.nets.unet import UNet, warn_of_idle_attention
from difflab.predictions import V

SMALL = {"width": 16, "multipliers": [1, 2], "blocks": 1, "attention": [8]}


def randomised(net: UNet) -> UNet:
    """All weights away from zero, so that every path counts."""
    generator = torch.Generator().manual_seed(0)
    for p in net.parameters():
        p.data = 0.1 * torch.randn(p.shape, generator=generator)
    return net.to(memory_format=torch.channels_last).eval()


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 32, 16)])
@pytest.mark.parametrize("patch", [1, 2])
def test_shape_is_kept_and_output_starts_at_zero(shape: tuple[int, ...], patch: int) -> None:
    out = UNet(shape=shape, patch=patch, **SMALL)(torch.randn(2, *shape), torch.zeros(2))
    assert out.shape == (2, *shape)
    assert out.abs().max() == 0


def test_rows_do_not_touch_each_other() -> None:
    net = randomised(UNet(shape=(1, 16, 16), **SMALL))
    x, level = torch.randn(3, 1, 16, 16), torch.randn(3)
    with torch.no_grad():
        torch.testing.assert_close(net(x, level)[1:2], net(x[1:2], level[1:2]), rtol=1e-4, atol=1e-5)


def test_level_is_seen() -> None:
    net = randomised(UNet(shape=(1, 16, 16), **SMALL))
    x = torch.randn(1, 1, 16, 16)
    with torch.no_grad():
        assert (net(x, torch.tensor([0.1])) - net(x, torch.tensor([0.2]))).abs().max() > 1e-3


def attended(attention: list[int]) -> list[int]:
    """The heights of the feature maps that attend, in the order of the network."""
    net, heights = UNet(shape=(1, 16, 8), width=16, multipliers=[1, 2, 2], blocks=1, attention=attention), []
    for module in net.modules():
        if isinstance(module, Attention):
            module.register_forward_pre_hook(lambda _, given: heights.append(given[0].shape[2]))
    net(torch.randn(1, 1, 16, 8), torch.zeros(1))
    return heights


def test_attention_stands_where_it_is_named() -> None:
    assert attended([16]) == [16, 16, 16]  # a block on the way down, two on the way up
    assert attended([8]) == [8, 8, 8]
    assert attended([8, 4]) == [8, 4, 4, 4, 4, 8, 8]  # at the lowest one in the middle too
    assert attended([]) == attended([5]) == []


@pytest.mark.parametrize(("attention", "idle"), [([], False), ([8, 4], False), ([32], True)])
def test_attention_that_stands_nowhere_is_said(
    attention: list[int], idle: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    warn_of_idle_attention(UNet(shape=(1, 16, 16), **SMALL | {"attention": attention}))
    said = capsys.readouterr().out
    assert said.startswith("warning: net.attention=[32] names none of this U-Net's resolutions, 16, 8") == idle
    assert idle or not said


@pytest.mark.parametrize("told", [{}, {"tokens": 8}])
def test_channels_that_heads_do_not_divide_are_refused_where_there_is_attention(told: dict[str, int]) -> None:
    wide = {"width": 112, "multipliers": [1, 2], "blocks": 1}
    with pytest.raises(DifflabError, match=r"net.width=112 makes 224 channels at resolution 8, which the 3 heads"):
        UNet(shape=(1, 16, 16), **wide, attention=[8], told=told)
    UNet(shape=(1, 16, 16), **wide, attention=[16], told=told)


def test_denoiser_does_not_depend_on_the_scale_of_the_path() -> None:
    denoiser = Denoiser(randomised(UNet(shape=(1, 16, 16), **SMALL)).double(), V(0.5), 0.5)
    x = torch.randn(2, 1, 16, 16, dtype=torch.float64)
    alpha, sigma = torch.tensor(0.6).double(), torch.tensor(0.8).double()
    with torch.no_grad():
        once, scaled = denoiser(x, alpha, sigma), denoiser(5 * x, 5 * alpha, 5 * sigma)
    torch.testing.assert_close(scaled, once, rtol=1e-8, atol=1e-8)


def test_cost_of_a_known_network() -> None:
    conv = torch.nn.Conv2d(4, 8, 3, padding=1, bias=False)

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv

        def forward(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
            return self.conv(x)

    assert parameters(Net()) == 4 * 8 * 9
    assert gflop_per_image(Net(), (4, 16, 16)) == pytest.approx(2 * 4 * 8 * 9 * 256 / 1e9)


def test_the_size_that_a_file_claims_is_its_networks() -> None:
    path = conf_dir() / "net" / "unet_cifar.yaml"
    node = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    assert isinstance(node, dict)
    chosen = {str(k): v for k, v in node.items() if k not in ("_target_", "shape", "told")}
    with torch.device("meta"):
        size = parameters(UNet(shape=(3, 32, 32), **chosen))
    assert f" {size / 1e6:.1f} M parameters" in path.read_text().splitlines()[0]


def test_pictures_that_do_not_divide_are_refused() -> None:
    with pytest.raises(DifflabError, match="divides pictures by 4, which 30x30"):
        UNet(shape=(1, 30, 30), patch=2, **SMALL)
