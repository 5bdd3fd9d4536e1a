"""A configuration builds what trusted packages define, and nothing that can merely be reached through them."""

import pytest
import torch
from omegaconf import OmegaConf

from difflab.config.instantiate import build
from difflab.errors import DifflabError


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "difflab.metrics.weights.torch.load",
        "difflab.files.os.remove",
        "torch.nn.functional.importlib.import_module",
        "torchvision.models._api.load_state_dict_from_url",
        "torchvision.models.resnet.partial",
    ],
)
def test_what_others_define_is_refused_by_any_name(target):
    with pytest.raises(DifflabError, match=f"_target_={target}: a configuration may only build"):
        build({"_target_": target})


def test_a_configuration_inside_a_dictionary_is_looked_through():
    hidden = OmegaConf.create({"inner": {"_target_": "builtins.dict", "p": "${p}"}, "p": 1})
    with pytest.raises(DifflabError, match=r"_args_\[0\]._target_=builtins.dict"):
        build({"_target_": "torch.nn.Sequential", "_args_": [hidden.inner]})
    with pytest.raises(DifflabError, match=r"module._target_=builtins.dict"):
        build({"_target_": "torch.nn.Identity", "module": hidden.inner})


def test_interpolations_reach_out_of_a_nested_configuration():
    cfg = OmegaConf.create(
        {"width": 5, "net": {"_target_": "torch.nn.Linear", "in_features": 3, "out_features": "${width}"}}
    )
    net = build({"_target_": "torch.nn.Sequential", "_args_": [cfg.net]})
    assert isinstance(net, torch.nn.Sequential) and net[0].out_features == 5
