"""What differs in the settings of runs, as few lines as say it."""

from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

# Where a run lies and how trackers know it: no two runs agree there.
BOOKKEEPING = ("runs", "run_dir", "resume", "logger.run_id", "logger.group")
ABSENT = "-"


def differing(configs: Sequence[DictConfig]) -> dict[str, list[str]]:
    """Each differing setting with its value in every run.

    Nodes that build different things are one line, such as `Cosine(s=0.0)`, and so is a value that others repeat
    (`data.shape`, which the network takes over).
    """
    lines: dict[str, list[str]] = {}
    for key, values in _walk("", configs):
        repeated = any(k.rpartition(".")[2] == key.rpartition(".")[2] and v == values for k, v in lines.items())
        if key not in BOOKKEEPING and not repeated:
            lines[key] = values
    return lines


def _walk(key: str, nodes: Sequence[Any]) -> Iterator[tuple[str, list[str]]]:
    if all(node == nodes[0] for node in nodes):
        return
    if not _is_branch(nodes):
        yield key, [_in_words(node) for node in nodes]
        return
    children = dict.fromkeys(str(name) for node in nodes if node is not None for name in node)
    for name in children:
        below = [None if node is None else OmegaConf.select(node, name) for node in nodes]
        yield from _walk(f"{key}.{name}".lstrip("."), below)


def _is_branch(nodes: Sequence[Any]) -> bool:
    """Whether the nodes are settings of one kind of thing, so that what differs is further down."""
    if not all(isinstance(node, DictConfig) or node is None for node in nodes):
        return False
    targets = {node.get("_target_") for node in nodes if node is not None}
    return targets == {None} or (len(targets) == 1 and None not in nodes)


def _in_words(node: Any) -> str:
    if node is None:
        return ABSENT
    if isinstance(node, DictConfig):
        from difflab.assemble import describe  # not before it is needed: it imports torch

        return describe(node)
    return str(node)
