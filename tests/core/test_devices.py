"""Everything follows the device of the pictures: the meta device stands in for a GPU."""

import pytest
import torch

from difflab import train
from difflab.config.compose import compose
from difflab.denoiser import Denoiser
from difflab.grids import Karras
from difflab.nets.unet import UNet
from difflab.predictions import V
from difflab.samplers import ddim, dpmpp_2m, heun, last
from difflab.schedules import Cosine


@pytest.mark.parametrize("sampler", [ddim, heun, dpmpp_2m], ids=lambda s: s.__name__)
def test_sampling_stays_on_the_device_of_x(sampler) -> None:  # type: ignore[no-untyped-def]
    net = UNet(shape=(1, 16, 16), width=16, multipliers=[1, 2], blocks=1, attention=[8])
    denoiser = Denoiser(net, V(0.5), 0.5).to("meta")
    x = torch.zeros(2, 1, 16, 16, device="meta")
    with torch.inference_mode():
        assert last(sampler(denoiser, x, Karras(3).nodes(Cosine()), torch.zeros_like)).device.type == "meta"


@pytest.mark.parametrize("condition", ["text_learned", "image"])
def test_what_pictures_are_conditioned_on_is_where_they_are(condition: str) -> None:
    """Captions are read on the processor, whatever the device."""
    words = ("data=emoji", "net=unet_tiny", "data.shape=[3,16,16]", f"condition={condition}")
    module = train.untrained(compose("train", ["experiment=smoke", *words])).to("meta")
    batch = {"x0": torch.zeros(2, 3, 16, 16, device="meta"), "caption": ["cat", "dog"]}
    given = module._given(batch)
    assert given.values.device.type == given.null.device.type == "meta"
