"""What a network's weights are, in one word."""

import hashlib

import torch


def digest_of_weights(module: torch.nn.Module) -> str:
    """sha256 of all weights and buffers by name: which file they came from makes no difference."""
    found = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        found.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
