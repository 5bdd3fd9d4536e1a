"""Every file of conf/metrics makes what it names, from files made here."""

import pytest
import tiny_transformers
import torch
from made_pictures import shapes
from omegaconf import OmegaConf

from difflab.config.instantiate import build
from difflab.files import conf_dir
from difflab.metrics.extractor import Extractor, read

FOLDER = conf_dir() / "metrics"


@pytest.fixture
def files(inception_file, tmp_path):
    """What the extractors of that name read their weights from."""
    path, sha256 = inception_file
    return {
        "inception": lambda: {"weights": str(path), "sha256": sha256},
        "dinov2": lambda: {"folder": str(tiny_transformers.dinov2(tmp_path, pixels=518))},
        "clip": lambda: {"folder": str(tiny_transformers.clip(tmp_path))},
    }


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.yaml")))
def test_group_file(name, files):
    conf = OmegaConf.load(FOLDER / f"{name}.yaml")
    assert set(conf) == {"extractor", "n", "reference_n"}
    if name == "none":
        assert conf.extractor is None
        return
    conf.extractor.update(files[name]() if name in files else {})
    extractor = build({**conf.extractor, "device": "cpu"})
    assert isinstance(extractor, Extractor)
    state = torch.random.get_rng_state()
    features, _ = read(extractor, shapes(3, seed=0))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert features.shape == (3, extractor.dim) and features.dtype == torch.float32
    assert features.isfinite().all() and features.std(0).max() > 0
    assert len(extractor.weights_sha256) == 64 and "grey to RGB" in extractor.resize
    assert extractor.name.split("_")[0] == name.split("_")[0]
