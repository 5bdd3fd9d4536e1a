"""Any network as an extractor: what the configuration builds by `_target_`, or what a program hands over."""

import copy
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor, nn

from difflab.errors import DifflabError
from difflab.metrics import weights as weights_file
from difflab.metrics.extractor import Reading
from difflab.metrics.preprocess import Preprocess
from difflab.metrics.pretrained import frozen


class Module:
    """A frozen copy of an nn.Module that reads b 3 size size and gives b d, or b d h w (averaged over the picture).

    Args:
        module: the module, or the configuration node of one. What a node draws when it is built (random weights)
            comes from `seed`; the global randomness is left as it was.
        name: how its figures end (`fd_<name>`). Another network needs another name.
        weights: a state dict, safetensors or torch's; None: those it was built with.
        size: pictures are resized to size x size, bilinear, antialiased. mean, std: per channel, of levels / 255.
        batch: pictures at a time.

    `weights_sha256` covers the tensors and how the module was built, since both decide about its features; a change of
    its code it cannot see.

    Raises:
        DifflabError: weights that do not fit, or a module that cannot read such pictures or gives other shapes.
    """

    names: ClassVar[dict[str, str]] = {}

    def __init__(
        self,
        module: nn.Module | Mapping[str, Any],
        name: str = "module",
        weights: str | Path | None = None,
        size: int = 64,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
        batch: int = 64,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        _check_three("mean", mean)
        _check_three("std", std, above=0.0)
        net = copy.deepcopy(module) if isinstance(module, nn.Module) else _built(module, seed)
        if weights is not None:
            _fill(net, Path(weights).expanduser())
        self.name, self.batch, self.device = name, batch, torch.device(device)
        self.weights_sha256 = _digest(net, module)
        self._input = Preprocess(size, tuple(mean), tuple(std))
        self.resize = f"{self._input.rule}, mean {_text(mean)} std {_text(std)}"
        self._net = frozen(net).to(self.device)
        self.dim = self._measured(size)

    @torch.inference_mode()
    def __call__(self, images: UInt8[Tensor, "b c h w"]) -> Reading:
        """What the module gives of grey (repeated into RGB on purpose) or RGB pictures."""
        return Reading(self._features(self._input(images, self.device)))

    def _features(self, x: Float32[Tensor, "b 3 s s"]) -> Float32[Tensor, "b d"]:
        y = self._net(x)
        if not isinstance(y, Tensor) or y.ndim not in (2, 4) or len(y) != len(x):
            got = f"a tensor of shape {tuple(y.shape)}" if isinstance(y, Tensor) else f"a {type(y).__name__}"
            raise DifflabError(
                f"{self._title} gives {got} for input {tuple(x.shape)}: features are of shape (b, d) or (b, d, h, w)"
            )
        return (y.mean((2, 3)) if y.ndim == 4 else y).float()

    @torch.inference_mode()
    def _measured(self, size: int) -> int:
        try:
            return self._features(torch.zeros(1, 3, size, size, device=self.device)).shape[1]
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            reason = " ".join(str(error).split())[:150]
            raise DifflabError(
                f"{self._title} cannot read pictures of 3x{size}x{size} ({reason}): "
                "set metrics.extractor.size, or choose another module"
            ) from error

    @property
    def _title(self) -> str:
        return f"metrics.extractor.module ({type(self._net).__name__})"


def _built(node: Mapping[str, Any], seed: int) -> nn.Module:
    from difflab.config.instantiate import build

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = build(dict(node))
    if not isinstance(net, nn.Module):
        raise DifflabError(f"metrics.extractor.module builds a {type(net).__name__}, not an nn.Module")
    return net


def _fill(net: nn.Module, path: Path) -> None:
    state, _ = weights_file.load(path, "")
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise DifflabError(f"weights file {path} does not fit metrics.extractor.module: {reason}") from None


def _digest(net: nn.Module, built: nn.Module | Mapping[str, Any]) -> str:
    """Of every tensor with its name, type and shape, and of the node or, without one, the module's printed form."""
    text = json.dumps(built, sort_keys=True, default=str) if isinstance(built, Mapping) else str(net)
    sha = hashlib.sha256(text.encode())
    for name, tensor in sorted(net.state_dict().items()):
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def _check_three(key: str, values: Sequence[float], above: float = -math.inf) -> None:
    if len(values) != 3 or not all(value > above for value in values):
        raise DifflabError(f"metrics.extractor.{key}={list(values)}: three numbers, one a channel, std above 0")


def _text(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)
