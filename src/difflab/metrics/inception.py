"""The Inception of the FID paper, as torch-fidelity ported it: what the word `fid` is kept for."""

import io
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from difflab.errors import DifflabError
from difflab.metrics import weights as weights_file
from difflab.metrics.extractor import Reading
from difflab.metrics.preprocess import GREY
from difflab.pixels import to_rgb

FILE = "weights-inception-2015-12-05-6726825d.pth"
SHA256_PREFIX = "6726825d"
# The figures that papers count with it, by the names there.
PUBLISHED = {
    "fd": "fid", "fd_infinity": "fid_infinity", "kid": "kid", "inception_score": "inception_score",
    "precision": "precision", "recall": "recall", "density": "density", "coverage": "coverage",
}  # fmt: skip


class Inception:
    """2048 pooled features of the 2015 Inception (Heusel et al. 2017, https://arxiv.org/abs/1706.08500).

    Pictures are resized to 299x299 as TensorFlow 1 does (bilinear, no antialiasing, corners not aligned), the
    rule behind published FIDs.

    Args:
        weights: the file; None looks in torch.hub's checkpoint folder and fetches it there if need be.
        sha256: how the file's hash starts. With another file than the paper's, figures are called
            "fd_inception" and so on, not "fid".

    Raises:
        DifflabError: no file and no network, or a file with another hash.
    """

    name = "inception"
    dim = 2048
    batch = 16
    resize = f"tf1-bilinear 299x299 antialias=False, {GREY}"

    def __init__(self, weights: str | Path | None = None, sha256: str = SHA256_PREFIX, device: str = "cpu") -> None:
        path = _fetched() if weights is None else Path(weights).expanduser()
        state, self.weights_sha256 = weights_file.load(path, sha256)
        self.names = PUBLISHED if self.weights_sha256.startswith(SHA256_PREFIX) else {}
        self.device = torch.device(device)
        self._net = _fused(_network(state)).to(self.device).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, images: UInt8[Tensor, "b c h w"]) -> Reading:
        """Features of grey (repeated into RGB on purpose) or RGB pictures, and the logits of 1008 classes."""
        return Reading(*self._net(to_rgb(images.to(self.device))))


def _network(state: dict[str, Tensor]) -> nn.Module:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # torch-fidelity unpickles its file without restraint: it is given a copy that holds nothing but tensors.
    copy = io.BytesIO()
    torch.save(state, copy)
    copy.seek(0)
    return FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=copy
    )


def _fused(net: nn.Module) -> nn.Module:
    from torch_fidelity.feature_extractor_inceptionv3 import BasicConv2d

    for block in net.modules():
        if isinstance(block, BasicConv2d):
            block.conv, block.bn = fuse_conv_bn_eval(block.conv, block.bn), nn.Identity()
    return net


def _fetched() -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / FILE
    if not path.exists():
        _fetch(path)
    return path


def _fetch(path: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(URL_INCEPTION_V3, str(path), hash_prefix=SHA256_PREFIX)
    except (OSError, RuntimeError) as error:
        raise DifflabError(
            f"{FILE}, the Inception that FID is counted with, is not here and cannot be fetched ({error}): "
            f"put it at {path}, or give metrics.extractor.weights=PATH, or use metrics=efficientnet_lite0"
        ) from error
