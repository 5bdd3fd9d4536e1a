"""Pictures on disk as a source: a folder of any tree, or an .npz; neither is ever in memory as a whole."""

import json
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor

from difflab import rng
from difflab.data.decode import BROKEN, Decoder
from difflab.data.folder import ENDINGS
from difflab.errors import DifflabError
from difflab.files import file_digest
from difflab.metrics.protocol import Entry
from difflab.scoring.picture_arrays import PictureArray
from difflab.scoring.sources import Batch, Source, digest

THREADS = min(8, os.cpu_count() or 1)  # that decode ahead of the network
BATCH = 64  # pictures a thread decodes at a time


@dataclass(frozen=True)
class Shelf:
    """Pictures that can be opened by number; `label` says which one is meant in a message."""

    name: str
    n: int
    open: Callable[[int], Image.Image]
    label: Callable[[int], str]
    content: Callable[[], str]  # sha256, which takes a look at every file
    protocol: dict[str, Entry]


class PictureSet(Source):
    """The pictures of a shelf in an order shuffled by `seed`, so that the first n are a fair choice.

    shape: (c, h, w) they have to have; None: that of the first, in RGB. resize: null, or what becomes of others
    (crop, pad, squash as in data.source.resize).

    Raises:
        DifflabError: a picture of another size without a `resize`, a coloured one where `shape` is grey, a broken one.
    """

    batch = BATCH

    def __init__(self, shelf: Shelf, shape: Sequence[int] | None, resize: str | None, seed: int) -> None:
        self.name, self.n, self.shelf, self.resize = shelf.name, shelf.n, shelf, resize
        self.order = torch.randperm(shelf.n, generator=rng.generator(seed, "order")).tolist()
        self.channels, self.height, self.width = shape or (3, *self._opened(0).size[::-1])
        self._decode = Decoder((3, self.height, self.width), resize or "crop")
        self._decoded(0)  # a wrong size is said before anything is computed
        self._seed = seed

    @cached_property
    def protocol(self) -> dict[str, Entry]:  # type: ignore[override]  # an attribute there
        named: dict[str, Entry] = {"source": self.name, "source_digest": self.shelf.content()}
        return self.shelf.protocol | named | {"pictures_resize": self.resize}

    @cached_property
    def digest(self) -> str:  # type: ignore[override]
        content, shape = self.shelf.content(), self.shape
        return digest({"content": content, "seed": self._seed, "resize": self.resize, "shape": shape})

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of every picture."""
        return self.channels, self.height, self.width

    def chunks(self, chunks: Iterable[Sequence[int]]) -> Generator[Batch, None, None]:
        """Threads decode ahead: Pillow works without Python's lock."""
        waiting: deque[Future[Tensor]] = deque()
        pool = ThreadPoolExecutor(THREADS)
        try:
            for chunk in chunks:
                waiting.append(pool.submit(self._stacked, chunk))
                if len(waiting) > THREADS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _stacked(self, chunk: Sequence[int]) -> UInt8[Tensor, "b c h w"]:
        return torch.stack([self._decoded(self.order[i]) for i in chunk])

    def _opened(self, i: int) -> Image.Image:
        try:
            with self.shelf.open(i) as picture:
                return ImageOps.exif_transpose(picture)
        except BROKEN as error:
            reason = " ".join(str(error).split())
            raise DifflabError(f"{self.shelf.label(i)} can't be read ({reason}): mend it, or take it away") from error

    def _decoded(self, i: int) -> UInt8[Tensor, "c h w"]:
        picture = self._opened(i)
        if self.resize is None and picture.size != (self.width, self.height):
            size = f"{picture.width}x{picture.height}"
            raise DifflabError(
                f"{self.shelf.label(i)} is {size} pixels, what it is compared with {self.width}x{self.height}: set "
                f"data.shape=[{self.channels},{picture.height},{picture.width}], or resize=squash (or crop, pad)"
            )
        pixels = self._decode(picture)
        return pixels if self.channels == 3 else self._grey(pixels, i)

    def _grey(self, pixels: UInt8[Tensor, "3 h w"], i: int) -> UInt8[Tensor, "1 h w"]:
        if not (pixels == pixels[:1]).all():
            raise DifflabError(
                f"{self.shelf.label(i)} is in colour, what it is compared with is grey: "
                f"set data.shape=[3,{self.height},{self.width}]"
            )
        return pixels[:1]


def open_pictures(path: Path, said: str, shape: Sequence[int] | None, resize: str | None, seed: int) -> PictureSet:
    """The pictures at `path`; `said` is how the user named it, for messages.

    Raises:
        DifflabError: it is neither a folder with pictures nor an .npz of pictures.
    """
    if path.is_dir():
        return PictureSet(_folder(path, said), shape, resize, seed)
    if path.suffix == ".npz":
        return PictureSet(_npz(path), shape, resize, seed)
    what = "does not exist" if not path.exists() else "is none of them"
    raise DifflabError(
        f"{said}: {path} {what}: name a run (a folder with config.yaml), a checkpoint of one (.ckpt), a folder of "
        f"pictures ({', '.join(sorted(ENDINGS))}) or an .npz of pictures"
    )


def _folder(root: Path, said: str) -> Shelf:
    files = sorted(path for path in root.rglob("*") if _is_picture(path, root))
    made = root / "samples.json"  # by `difflab sample`, whose grid is no sample
    protocol = _made_by_us(made) if made.is_file() else {}
    files = [path for path in files if not (made.is_file() and path == root / "grid.png")]
    if not files:
        raise DifflabError(
            f"{said}: folder {root} has no config.yaml, so it is no run, and no picture ({', '.join(sorted(ENDINGS))})"
        )
    return Shelf(
        root.resolve().name,
        len(files),
        lambda i: Image.open(files[i]),
        lambda i: str(files[i]),
        cache(lambda: _hash(files, root)),
        protocol,
    )


def _hash(files: Sequence[Path], root: Path) -> str:
    names = [path.relative_to(root).as_posix() for path in files]
    with ThreadPoolExecutor(THREADS) as pool:
        return digest(dict(zip(names, pool.map(file_digest, files), strict=True)))


def _is_picture(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return path.suffix[1:].lower() in ENDINGS and not hidden and path.is_file()


def _made_by_us(path: Path) -> dict[str, Entry]:
    """How a folder of `difflab sample` was made; the number there may be more than is left."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    keys = ("sampler", "grid", "guidance", "nfe", "weights", "nimg", "run")
    return {key: found[key] for key in keys if key in found} | {"sample_seed": found.get("seed")}


def _npz(path: Path) -> Shelf:
    array = PictureArray(path)
    return Shelf(
        path.stem, len(array), array.picture, lambda i: f"picture {i} of {path}", cache(lambda: file_digest(path)), {}
    )
