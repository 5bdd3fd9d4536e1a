"""One array of pictures in an .npz, read picture by picture: as ADM writes it (`arr_0`, uint8 n h w c), or the like."""

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from difflab.errors import DifflabError

NAMES = ("arr_0", "images", "samples", "pixels")
Bytes = IO[bytes] | BufferedIOBase
BROKEN = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


class PictureArray:
    """The pictures of an .npz: uint8 n h w c with c = 1 or 3, n c h w, or n h w; never all in memory.

    Raises:
        DifflabError: a damaged file, or one that holds no such array.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                name = self._name(archive)
                self._pixels = _mapped(path, archive, name)
        except BROKEN as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise DifflabError(f"{path} can't be read as an .npz ({reason}): write it again") from error
        self._channels_first = self._check(name)

    def __len__(self) -> int:
        return len(self._pixels)

    def picture(self, i: int) -> Image.Image:
        """Picture i, decompressed by now."""
        pixels = self._pixels[i].transpose(1, 2, 0) if self._channels_first else self._pixels[i]
        return Image.fromarray(np.ascontiguousarray(pixels.squeeze(-1) if pixels.shape[2:] == (1,) else pixels))

    def _name(self, archive: zipfile.ZipFile) -> str:
        headers = {name.removesuffix(".npy"): _header(archive, name) for name in archive.namelist()}
        arrays = [name for name, (shape, dtype) in headers.items() if dtype == np.uint8 and len(shape) in (3, 4)]
        for name in (*NAMES, *arrays[:1]):
            if name in headers:
                return name
        raise DifflabError(self._no_pictures(headers))

    def _no_pictures(self, headers: Mapping[str, tuple[tuple[int, ...], np.dtype]]) -> str:
        if {"mu", "sigma"} <= headers.keys():
            return f"{self.path} holds statistics (mu, sigma), no pictures: it can be a reference={self.path}"
        has = ", ".join(f"{name} {dtype}{list(shape)}" for name, (shape, dtype) in headers.items()) or "nothing"
        return f"{self.path} holds {has}, no pictures: write them as arr_0, uint8 [n,height,width,channels]"

    def _check(self, name: str) -> bool:
        """Whether the channels come before the pixels."""
        shape, dtype = self._pixels.shape, self._pixels.dtype
        last = len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))
        first = len(shape) == 4 and shape[1] in (1, 3)
        if dtype != np.uint8 or not (last or first) or not len(self._pixels):
            raise DifflabError(
                f"{name} of {self.path} is {dtype}{list(shape)}, no pictures: write them as uint8 (0..255) "
                "[n,height,width,channels] with 1 or 3 channels"
            )
        return first and not last


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    with archive.open(name) as file:
        shape, _, dtype = _array_header(file)
    return shape, dtype


def _array_header(file: Bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


def _mapped(path: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """A stored array where it lies, a compressed one through a temporary file that goes with the process."""
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type == zipfile.ZIP_STORED:
        with path.open("rb") as file:
            return _map(file, _start(path, member))
    with tempfile.TemporaryFile() as unpacked, archive.open(member) as packed:
        shutil.copyfileobj(packed, unpacked)
        return _map(unpacked, 0)


def _map(file: Bytes, start: int) -> np.ndarray:
    """The array that begins at `start`; the map outlives the open file."""
    file.seek(start)
    shape, fortran, dtype = _array_header(file)
    order = "F" if fortran else "C"
    return np.memmap(file, dtype, "r", offset=file.tell(), shape=shape, order=order)  # type: ignore[call-overload]


def _start(path: Path, member: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin: its local header has a name and extras of lengths of their own."""
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)
        lengths = file.read(4)
    return member.header_offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
