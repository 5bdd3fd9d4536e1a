"""From a configuration node to an object, through Hydra, from trusted places only."""

import pydoc
from collections.abc import Iterator
from typing import Any

from difflab.errors import DifflabError

# Hydra's own deny-list still lets `torch.load(..., weights_only=False)` through, so we name what is allowed.
TRUSTED = ("difflab.", "torch.nn.", "torch.optim.", "torchvision.models.")


def build(node: Any) -> Any:
    """The object that a node with `_target_` describes, nested nodes first.

    Raises DifflabError for a target outside the trusted packages, an unknown one, or wrong arguments.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    tree = _plain(node)
    name = node._get_full_key(None) if OmegaConf.is_config(node) else ""
    for key, target in _targets(tree, name):
        if not _is_trusted(str(target)):
            raise DifflabError(
                f"{key}={target}: a configuration may only build what starts with {', '.join(TRUSTED)}; "
                "build it in Python, or put it into a package of difflab's"
            )
    try:
        return instantiate(tree, _convert_="all")
    except InstantiationException as error:
        raise _cause(error) from error


def _plain(node: Any) -> Any:
    """Dictionaries and lists all through: a configuration inside of one would hide its targets from the check."""
    from omegaconf import OmegaConf

    if OmegaConf.is_config(node):
        return OmegaConf.to_container(node, resolve=True)
    if isinstance(node, dict):
        return {key: _plain(child) for key, child in node.items()}
    return [_plain(child) for child in node] if isinstance(node, list) else node


def _is_trusted(target: str) -> bool:
    """Named as in a trusted package, and defined there: `difflab.lit.torch.load` is not difflab's."""
    if not target.startswith(TRUSTED):
        return False
    found = pydoc.locate(target)
    home = getattr(found, "__module__", None)
    return found is None or f"{home}.".startswith(TRUSTED)  # what is not found, Hydra names best


def _targets(tree: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        if "_target_" in tree:
            yield f"{key}._target_".lstrip("."), tree["_target_"]
        for name, child in tree.items():
            yield from _targets(child, f"{key}.{name}")
    elif isinstance(tree, list):
        for i, child in enumerate(tree):
            yield from _targets(child, f"{key}[{i}]")


def _cause(error: Exception) -> DifflabError:
    """Hydra wraps what a constructor raised; the user wants the inner message, in one line."""
    inner: BaseException = error
    while inner.__cause__ is not None:
        inner = inner.__cause__
    if isinstance(inner, DifflabError):
        return inner
    return DifflabError(" ".join(str(error).split()))
