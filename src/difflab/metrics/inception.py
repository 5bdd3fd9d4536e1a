"""The Inception of the FID paper, with torch-fidelity's port of its weights: what the word `fid` is kept for."""

from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from difflab.errors import DifflabError
from difflab.metrics import weights as weights_file
from difflab.metrics.extractor import Reading
from difflab.metrics.inception_v3 import SIZE, InceptionV3
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
        DifflabError: no file and no network, a file with another hash, or of another network.
    """

    name = "inception"
    dim = 2048
    batch = 8  # more, and the pages of the largest layers are fetched anew each time
    resize = f"tf1-bilinear {SIZE}x{SIZE} antialias=False, {GREY}"

    def __init__(self, weights: str | Path | None = None, sha256: str = SHA256_PREFIX, device: str = "cpu") -> None:
        path = _fetched() if weights is None else Path(weights).expanduser()
        state, self.weights_sha256 = weights_file.load(path, sha256, device)
        self.names = PUBLISHED if self.weights_sha256.startswith(SHA256_PREFIX) else {}
        self.device = torch.device(device)
        self._net = _network(state, path)

    @torch.inference_mode()
    def __call__(self, images: UInt8[Tensor, "b c h w"]) -> Reading:
        """Features of grey (repeated into RGB on purpose) or RGB pictures, and the logits of 1008 classes."""
        return Reading(*self._net(to_rgb(images.to(self.device))))


def _network(state: dict[str, Tensor], path: Path) -> InceptionV3:
    try:
        return InceptionV3(state)
    except KeyError as error:
        raise DifflabError(f"weights file {path} holds no {error}: it is not torch-fidelity's Inception") from error


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
