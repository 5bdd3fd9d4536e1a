"""Captions with tags, parted by commas: "cat with tears of joy, noto style, smileys & emotion"."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain, combinations

from difflab.errors import DifflabError
from difflab.rng import fold

SEPARATOR = ", "
MOST = 250_000  # captions that are made beforehand: their tokens take some 20 KB each


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


def variants(caption: str, dropout: float) -> Iterator[str]:
    """All that `thinned` may give, the caption itself last: 2^k for k tags."""
    first, *tags = parts(caption)
    some = chain.from_iterable(combinations(tags, k) for k in range(len(tags) + 1)) if dropout else [tags]
    return (SEPARATOR.join([first, *kept]) for kept in some)


@dataclass(frozen=True)
class Prompts:
    """Every caption that training may read, in alphabetical order; they are made when somebody asks for them."""

    captions: Collection[str]
    dropout: float

    def __bool__(self) -> bool:
        return bool(self.captions)

    def __iter__(self) -> Iterator[str]:
        """Raises DifflabError for more than MOST."""
        found: set[str] = set()
        for prompt in chain.from_iterable(variants(caption, self.dropout) for caption in set(self.captions)):
            found.add(prompt)
            if len(found) > MOST:
                raise self._too_many()
        return iter(sorted(found))

    def _too_many(self) -> DifflabError:
        why, instead = "captions of the data set", ""
        if self.dropout:
            tags = max(len(parts(caption)) for caption in self.captions) - 1
            why = f"captions, as data.tag_dropout={self.dropout} leaves out any of up to {tags} tags"
            instead = "data.tag_dropout=0.0, or "
        return DifflabError(
            f"a frozen encoder reads all that training may be told before it begins, which is more than {MOST:,} "
            f"{why}: set {instead}condition=text_learned, which reads them as they come"
        )
