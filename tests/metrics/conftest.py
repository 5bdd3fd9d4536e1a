"""A cache folder of one's own and random Inception weights."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from torch import nn
from torch_fidelity import feature_extractor_inceptionv3 as tf_inception


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder of the test's own."""
    monkeypatch.setenv("DIFFLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A random Inception that every library reads, and its sha256.

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
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(net.state_dict(), path)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()
