"""Pictures in the page: as lossless WebP of one pixel a pixel, which the browser enlarges without blur."""

import io
from base64 import b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

GRID_SCALE, FILM_SCALE = 2, 4  # by which the files of a run are enlarged
SHOWN = 560  # pixels that a picture may be wide on the page
BUDGET = 9_000_000  # bytes of all grids of a run, as files: in the page they take no more
DAMAGED = (OSError, EOFError, ValueError)  # what Pillow raises where a file is none of a picture


@dataclass(frozen=True)
class Picture:
    """`src` holds the picture itself; `shown` is its width on the page, a multiple of `width` where that fits."""

    src: str
    width: int
    height: int
    label: str = ""

    @property
    def shown(self) -> int:
        return self.width * max(1, SHOWN // self.width)


def grids(found: dict[int, Path]) -> list[Picture]:
    """By images seen; of more than the page has room for, some at an even distance, the last among them."""
    items = list(found.items())
    largest = max((path.stat().st_size for path in found.values()), default=1)
    chosen = evenly(items, max(1, BUDGET // largest))
    with ThreadPoolExecutor() as pool:
        made = pool.map(lambda item: picture(item[1], GRID_SCALE, f"{item[0]:,} images seen"), chosen)
    return [each for each in made if each is not None]


def evenly(items: Sequence[tuple[int, Path]], most: int) -> list[tuple[int, Path]]:
    """At most `most` of them, the last one always."""
    n = min(len(items), most)
    return [items[len(items) - 1 - i * len(items) // n] for i in reversed(range(n))]


def film(path: Path | None) -> list[Picture]:
    """The frames of a GIF, none of one that is missing or damaged."""
    try:
        frames = _frames(path) if path else []
    except DAMAGED:
        return []
    words = [f"state {i} of {len(frames)}" for i in range(1, len(frames) + 1)]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(encoded, (at_scale_one(frame, FILM_SCALE) for frame in frames), words))


def _frames(path: Path) -> list[Image.Image]:
    with Image.open(path) as gif:
        return [frame.convert("RGB") for frame in ImageSequence.Iterator(gif)]


def picture(path: Path | None, scale: int = 1, label: str = "") -> Picture | None:
    """A file's, which is enlarged `scale` times; None where there is none, or a kill has left half of it."""
    if path is None or not path.is_file():
        return None
    try:
        with Image.open(path) as image:
            return encoded(at_scale_one(image.convert("RGB"), scale), label)
    except DAMAGED:
        return None


def at_scale_one(image: Image.Image, scale: int) -> Image.Image:
    """The picture of which `image` is the enlargement; `image` itself where it is not one."""
    pixels = np.asarray(image)
    small = pixels[::scale, ::scale]
    again = small.repeat(scale, 0).repeat(scale, 1)
    return Image.fromarray(small) if np.array_equal(again, pixels) else image


def encoded(image: Image.Image, label: str = "") -> Picture:
    """Lossless, by the quickest method: the page is far below its limit, and a run waits for it."""
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=True, quality=20, method=0)
    src = f"data:image/webp;base64,{b64encode(file.getvalue()).decode()}"
    return Picture(src, image.width, image.height, label)
