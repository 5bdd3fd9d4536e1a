"""Weights files of extractors, trusted by their hash and read without running what is in them."""

import hashlib
import io
import pickle
from pathlib import Path

import torch
from torch import Tensor

from difflab.errors import DifflabError


def load(path: Path, sha256: str, device: str = "cpu") -> tuple[dict[str, Tensor], str]:
    """The state dict in `path` and its full sha256, which has to start with `sha256`.

    The very bytes that were hashed are the ones that are read.

    Raises:
        DifflabError: no file, another hash, or a file that holds more than tensors.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DifflabError(f"weights file {path} cannot be read ({error.strerror}): give its path") from error
    digest = hashlib.sha256(content).hexdigest()
    if not digest.startswith(sha256):
        raise DifflabError(f"weights file {path} has sha256 {digest[:12]}, not {sha256[:12]}: fetch it again")
    try:
        return torch.load(io.BytesIO(content), map_location=device, weights_only=True), digest
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise DifflabError(f"weights file {path} holds more than tensors, or is damaged: fetch it") from error
