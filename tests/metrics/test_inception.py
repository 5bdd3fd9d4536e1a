"""FID, KID, IS, precision and recall beside torch-fidelity's and torchmetrics', on one random Inception."""

import hashlib
import urllib.error

import pytest
import torch
import torch_fidelity
from torch import nn
from torch.utils.data import Dataset
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
from torchmetrics.image.fid import FrechetInceptionDistance, NoTrainInceptionV3
from torchmetrics.image.inception import InceptionScore as InceptionScoreMetric
from torchmetrics.image.kid import KernelInceptionDistance

from difflab.errors import DifflabError
from difflab.metrics.extractor import Extractor, read
from difflab.metrics.frechet import FrechetDistance
from difflab.metrics.inception import Inception
from difflab.metrics.inception_score import InceptionScore
from difflab.metrics.inception_v3 import resized
from difflab.metrics.kid import KernelDistance
from difflab.metrics.precision_recall import PrecisionRecall
from difflab.metrics.reference import Reference

N = 12


class Items(Dataset):
    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i]


class Once(nn.Module):
    """A network that computes the features of a tensor once, for both metrics."""

    num_features = 2048

    def __init__(self, net):
        super().__init__()
        self.net, self.found = net, {}

    def forward(self, images):
        key = images.data_ptr()
        if key not in self.found:
            self.found[key] = self.net(images)
        return self.found[key]


@pytest.fixture(scope="module")
def pictures():
    g = torch.Generator().manual_seed(0)
    made = torch.randint(0, 200, (N, 3, 32, 32), dtype=torch.uint8, generator=g)
    made[:7] = made[:7] // 50 * 80  # far from all real ones
    real = torch.randint(0, 200, (N, 3, 32, 32), dtype=torch.uint8, generator=g)
    return made, real


@pytest.fixture(scope="module")
def ours(inception_file, pictures):
    extractor = Inception(inception_file[0], sha256=inception_file[1])
    made, real = (read(extractor, images) for images in pictures)
    measures = (FrechetDistance(), KernelDistance(1, N), InceptionScore(1), PrecisionRecall(3))
    reference = Reference.of(real.features)
    return {v.name: v.value for measure in measures for v in measure(made, reference, 0)}


def test_agrees_with_torch_fidelity(inception_file, pictures, ours):
    made, real = (Items(images) for images in pictures)
    theirs = torch_fidelity.calculate_metrics(
        input1=made, input2=real, cuda=False, fid=True, kid=True, kid_subset_size=N, kid_subsets=1, isc=True,
        isc_splits=1, prc=True, prc_neighborhood=3, feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(inception_file[0]), save_cpu_ram=True, verbose=False, batch_size=N,
        cache=False,
    )  # fmt: skip
    assert ours["fd"] == pytest.approx(theirs["frechet_inception_distance"], rel=1e-5)
    assert ours["kid"] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-5)
    assert ours["inception_score"] == pytest.approx(theirs["inception_score_mean"], rel=1e-5)
    assert ours["precision"] == pytest.approx(theirs["precision"], rel=1e-5)
    assert ours["recall"] == pytest.approx(theirs["recall"], rel=1e-5)
    assert 0 < ours["precision"] < 1
    assert ours["recall"] > 0


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (1, 3, 40, 29), (1, 3, 320, 300), (1, 1, 1, 1)])
def test_pictures_are_resized_to_the_bit_as_by_torch_fidelity(shape):
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    wanted = interpolate_bilinear_2d_like_tensorflow1x(x, size=(299, 299), align_corners=False)
    assert torch.equal(resized(x, 299), wanted)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "net.pth")
    sha256 = hashlib.sha256((tmp_path / "net.pth").read_bytes()).hexdigest()
    with pytest.raises(
        DifflabError, match=r"holds no 'Conv2d_1a_3x3\.bn\.weight': it is not torch-fidelity's Inception"
    ):
        Inception(tmp_path / "net.pth", sha256)


@pytest.mark.slow
def test_agrees_with_torchmetrics(inception_file, pictures, ours):
    net = Once(NoTrainInceptionV3("inception-v3-compat", ["2048"], str(inception_file[0]), antialias=False))
    score = InceptionScoreMetric(
        NoTrainInceptionV3("inception-v3-compat", ["logits_unbiased"], str(inception_file[0]), antialias=False),
        splits=1,
    )
    fid = FrechetInceptionDistance(net)
    kid = KernelInceptionDistance(net, subsets=1, subset_size=N)
    for images, real in zip(pictures, (False, True), strict=True):
        fid.update(images, real=real)
        kid.update(images, real=real)
    score.update(pictures[0])
    assert ours["fd"] == pytest.approx(fid.compute().item(), rel=1e-5)
    assert ours["kid"] == pytest.approx(kid.compute()[0].item(), rel=1e-5)
    assert ours["inception_score"] == pytest.approx(score.compute()[0].item(), rel=1e-5)


def test_another_file_than_the_papers_is_not_called_fid(inception_file):
    extractor = Inception(inception_file[0], sha256=inception_file[1][:12])
    assert isinstance(extractor, Extractor)
    assert (extractor.names, extractor.weights_sha256) == ({}, inception_file[1])
    with pytest.raises(DifflabError, match="not 6726825d: fetch it again"):
        Inception(inception_file[0])


def test_offline_without_the_file_says_where_it_goes(tmp_path, monkeypatch):
    def offline(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(DifflabError) as error:
        Inception()
    message = str(error.value)
    assert f"put it at {tmp_path}/hub/checkpoints/weights-inception-2015-12-05-6726825d.pth" in message
    assert "metrics.extractor.weights=PATH" in message
    assert "\n" not in message
