"""How a pass over pictures says where it is: the bar is an argument, `silent` or `difflab.progress.images_bar`."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Advance = Callable[[int], None]
"""Called with the number of pictures done since the last call."""
Bars = Callable[[str, int], AbstractContextManager[Advance]]
"""Opens a bar from its text and its number of pictures."""


@contextmanager
def silent(text: str, total: int) -> Iterator[Advance]:
    """No bar."""
    yield lambda count: None
