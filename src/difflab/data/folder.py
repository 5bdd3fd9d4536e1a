"""Any tree of pictures: the first level of sub-folders is the class, a .txt beside a picture its caption."""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from difflab.data.decode import BROKEN, Decoder
from difflab.data.images import Images
from difflab.data.split import split_by_name
from difflab.errors import DifflabError
from difflab.progress import images_bar

log = logging.getLogger(__name__)

ENDINGS = frozenset(["bmp", "gif", "jpeg", "jpg", "pgm", "png", "ppm", "tif", "tiff", "webp"])


def folder(
    root: str | None,
    shape: Sequence[int],
    val_root: str | None = None,
    val_fraction: float = 0.1,
    split_seed: int = 0,
    resize: str = "crop",
    background: str = "white",
    broken: str = "skip",
) -> tuple[Images, Images]:
    """Every picture below `root` in `shape`, and those of `val_root`, or held out by a seeded hash of their path.

    Labelled if no picture lies in `root` itself; captioned if a .txt is beside any picture (the others get "").
    resize, background: see `decode.Decoder`. broken: `skip` leaves out files that can't be read and names them
    once; `refuse` stops at them. Raises DifflabError for a folder that is missing or without pictures.
    """
    if broken not in ("skip", "refuse"):
        raise DifflabError(f"broken={broken} is not a way with broken pictures: use skip or refuse")
    if root is None:
        raise DifflabError("data=folder needs the folder of the pictures: give it with data.root=DIR")
    decode = Decoder(shape, resize, background)
    images, paths = _read(Path(root).expanduser(), decode, broken)
    if val_root is None:
        return split_by_name(images, paths, val_fraction, split_seed, f"folder {root}")
    val, _ = _read(Path(val_root).expanduser(), decode, broken)
    if val.classes != images.classes:
        raise DifflabError(
            f"folder {val_root} has the classes {val.classes}, folder {root} has {images.classes}: "
            "give both the same sub-folders, or hold out a part with data.source.val_root=null"
        )
    return images, val


def _read(root: Path, decode: Decoder, broken: str) -> tuple[Images, list[str]]:
    """All pictures below `root`, in the order of their paths, and those paths."""
    files = _find(root)
    pictures = _decode_all(files, decode, f"reading {root.name}")
    failed = [f"{f.relative_to(root)} ({p})" for f, p in zip(files, pictures, strict=True) if isinstance(p, str)]
    _report(root, failed, len(files), broken)
    kept = [(f, p) for f, p in zip(files, pictures, strict=True) if isinstance(p, Tensor)]
    files = [f for f, _ in kept]
    labels, classes = _labels(root, files)
    images = Images(torch.stack([p for _, p in kept]), labels, _captions(files), classes)
    return images, [f.relative_to(root).as_posix() for f in files]


def _find(root: Path) -> list[Path]:
    if not root.is_dir():
        raise DifflabError(f"data folder {root} does not exist: give one with data.root=DIR")
    found = (p for p in root.rglob("*") if p.suffix[1:].lower() in ENDINGS and p.is_file())
    files = sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(root).parts))
    if not files:
        raise DifflabError(
            f"data folder {root} holds no picture ({', '.join(sorted(ENDINGS))}): give another with data.root=DIR"
        )
    return files


def _decode_all(files: list[Path], decode: Decoder, label: str) -> list[UInt8[Tensor, "c h w"] | str]:
    """For each file its picture, or why there is none. Threads help: Pillow decodes without Python's lock."""

    def one(path: Path) -> UInt8[Tensor, "c h w"] | str:
        try:
            with Image.open(path) as picture:
                return decode(picture)
        except BROKEN as error:
            return " ".join(str(error).split())

    pictures = []
    with ThreadPoolExecutor(os.cpu_count()) as pool, images_bar(label, len(files)) as advance:
        for picture in pool.map(one, files):
            pictures.append(picture)
            advance(1)
    return pictures


def _report(root: Path, failed: list[str], total: int, broken: str) -> None:
    if not failed:
        return
    named = ", ".join(failed[:5]) + (f" and {len(failed) - 5} more" if len(failed) > 5 else "")
    if broken == "refuse":
        raise DifflabError(
            f"{len(failed)} of {total} pictures in {root} can't be read: {named}: "
            "mend or remove them, or set data.source.broken=skip"
        )
    if len(failed) == total:
        raise DifflabError(f"none of the {total} pictures in {root} can be read: {named}: give another data.root=DIR")
    log.warning("left out %d of %d pictures in %s that can't be read: %s", len(failed), total, root, named)


def _labels(root: Path, files: list[Path]) -> tuple[Tensor | None, list[str] | None]:
    inner = [f.relative_to(root).parts for f in files]
    if any(len(parts) == 1 for parts in inner):
        return None, None
    classes = sorted({parts[0] for parts in inner})
    index = {name: i for i, name in enumerate(classes)}
    return torch.tensor([index[parts[0]] for parts in inner]), classes


def _captions(files: list[Path]) -> list[str] | None:
    texts = [f.with_suffix(".txt") for f in files]
    if not any(t.is_file() for t in texts):
        return None
    return [" ".join(t.read_text(errors="replace").split()) if t.is_file() else "" for t in texts]
