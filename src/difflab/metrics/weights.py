"""Weights files of extractors, trusted by their hash and read without running what is in them."""

import hashlib
import io
import pickle
from pathlib import Path

import torch
from torch import Tensor

from difflab.errors import DifflabError


def load(path: Path, sha256: str, device: str = "cpu") -> tuple[dict[str, Tensor], str]:
    """The state dict in `path` (.safetensors, or torch's) and its full sha256, which has to start with `sha256`.

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
    reader = _safetensors if path.suffix == ".safetensors" else _pickled
    return {name: tensor.to(device) for name, tensor in reader(content, path).items()}, digest


def _pickled(content: bytes, path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise DifflabError(f"weights file {path} holds more than tensors, or is damaged: fetch it") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DifflabError(f"weights file {path} holds no state dict of tensors alone: save net.state_dict()")
    return state


def _safetensors(content: bytes, path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, torch

    try:
        return torch.load(content)
    except SafetensorError as error:
        raise DifflabError(f"weights file {path} is damaged ({error}): fetch it again") from error
