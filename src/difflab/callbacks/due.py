"""When something is due, in images seen."""

from typing import Any


def due(every_nimg: int | None, module: Any) -> bool:
    """Whether the optimiser step that has just ended passed a multiple of `every_nimg`; never, if it is None."""
    return every_nimg is not None and module.stepped and module.nimg_before // every_nimg != module.nimg // every_nimg
