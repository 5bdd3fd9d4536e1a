"""Every file of conf/metrics makes what it names."""

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from difflab.files import conf_dir
from difflab.metrics.extractor import Extractor

FOLDER = conf_dir() / "metrics"


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.yaml")))
def test_group_file(name, inception_file):
    conf = OmegaConf.load(FOLDER / f"{name}.yaml")
    if name == "inception":
        path, sha256 = inception_file
        conf.extractor.update(weights=str(path), sha256=sha256)
    extractor = instantiate(conf.extractor)
    assert extractor is None if name == "none" else isinstance(extractor, Extractor)
