"""A checkpoint file, as plain tensors and values: nothing unsafe is loaded."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from difflab.errors import DifflabError


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint's contents, tensors and plain values only.

    Raises DifflabError for a file that is absent, truncated or holds anything else.
    """
    if not path.is_file():
        raise DifflabError(f"{path} does not exist: the run was stopped before its first checkpoint; train it again")
    try:
        contents: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for a broken file
        raise DifflabError(
            f"{path} ({path.stat().st_size:,} bytes) is not a whole checkpoint of plain tensors "
            f"({type(error).__name__}): copy it again, or train again from the run's config.yaml"
        ) from error
    return contents


def load_model(path: Path) -> dict[str, Any]:
    """What `difflab export` has written, as a checkpoint has it: nimg and ema, in float32.

    Raises DifflabError for a file that is not whole.
    """
    try:
        with safe_open(path, "pt") as file:
            nimg = int(file.metadata()["nimg"])
            average = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
        raise DifflabError(f"{path} is not a whole model ({type(error).__name__}): copy it again") from error
    return {"nimg": nimg, "ema": {k: v.float() if v.is_floating_point() else v for k, v in average.items()}}
