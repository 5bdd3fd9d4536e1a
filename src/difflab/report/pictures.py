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
BUDGET = 9_000_000  # characters of all grids of a run


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
    if not found:
        return []
    items = list(found.items())
    size = len(picture(items[-1][1], GRID_SCALE).src)
    chosen = evenly(items, max(1, BUDGET // size))
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda item: picture(item[1], GRID_SCALE, f"{item[0]:,} images seen"), chosen))


def evenly(items: Sequence[tuple[int, Path]], most: int) -> list[tuple[int, Path]]:
    """At most `most` of them, the last one always."""
    n = min(len(items), most)
    return [items[len(items) - 1 - i * len(items) // n] for i in reversed(range(n))]


def film(path: Path) -> list[Picture]:
    """The frames of a GIF."""
    with Image.open(path) as gif:
        frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(gif)]
    with ThreadPoolExecutor() as pool:
        pictures = pool.map(lambda frame: encoded(at_scale_one(frame, FILM_SCALE)), frames)
    return [Picture(p.src, p.width, p.height, f"state {i} of {len(frames)}") for i, p in enumerate(pictures, 1)]


def picture(path: Path, scale: int = 1, label: str = "") -> Picture:
    """A file's, which is enlarged `scale` times."""
    with Image.open(path) as image:
        return encoded(at_scale_one(image.convert("RGB"), scale), label)


def at_scale_one(image: Image.Image, scale: int) -> Image.Image:
    """The picture of which `image` is the enlargement; `image` itself where it is not one."""
    pixels = np.asarray(image)
    small = pixels[::scale, ::scale]
    again = small.repeat(scale, 0).repeat(scale, 1)
    return Image.fromarray(small) if np.array_equal(again, pixels) else image


def encoded(image: Image.Image, label: str = "") -> Picture:
    """Lossless; the quickest effort is within a few percent of the size of the slowest."""
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=True, quality=20, method=1)
    src = f"data:image/webp;base64,{b64encode(file.getvalue()).decode()}"
    return Picture(src, image.width, image.height, label)
