"""Captions with tags, parted by commas: "cat with tears of joy, noto style, smileys & emotion"."""

from itertools import chain, combinations

from difflab.rng import fold

SEPARATOR = ", "


def parts(caption: str) -> list[str]:
    """What the caption says first, then its tags."""
    return caption.split(SEPARATOR)


def thinned(caption: str, dropout: float, seed: int, position: int) -> str:
    """The caption at a position of the stream: each tag is left out with a chance of `dropout`.

    So a prompt may have all tags, or some, or none. What the caption says first always stays.
    """
    first, *tags = parts(caption)
    if not dropout:
        return caption
    kept = [tag for i, tag in enumerate(tags) if fold(seed, "tag", position, i) >= dropout * 2**63]
    return SEPARATOR.join([first, *kept])


def variants(caption: str, dropout: float) -> list[str]:
    """All that `thinned` may give, the caption itself last."""
    first, *tags = parts(caption)
    if not dropout:
        return [caption]
    some = chain.from_iterable(combinations(tags, k) for k in range(len(tags) + 1))
    return [SEPARATOR.join([first, *kept]) for kept in some]
