"""Inception weights for places without the real ones: random, in the file format that every library reads."""

import hashlib
from pathlib import Path
from unittest.mock import patch

import torch
from torch import nn
from torch_fidelity import feature_extractor_inceptionv3 as tf_inception


def write(path: Path) -> str:
    """Write them to `path`; returns the file's sha256.

    He initialisation, because torch's own lets the features of this depth collapse to one point.
    """
    name = tf_inception.FeatureExtractorInceptionV3
    with (
        patch.object(tf_inception, "load_state_dict_from_url", lambda url, progress: {}),
        patch.object(name, "load_state_dict", lambda self, state: None),
        torch.random.fork_rng(devices=[]),
    ):
        torch.manual_seed(0)
        net = name("random", ["2048"])
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
    torch.save(net.state_dict(), path)
    return hashlib.sha256(path.read_bytes()).hexdigest()
