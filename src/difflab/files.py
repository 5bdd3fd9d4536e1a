"""Files that are whole or absent, and the folders that come with the package."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parent


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it at the end: a reader never sees half a file.

    An exception (a full disk, a kill) leaves the file that was there before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """The value of a file that `write_json` has written."""
    return json.loads(path.read_text())


def file_digest(path: Path) -> str:
    """sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def conf_dir() -> Path:
    """The Hydra configuration: inside an installed wheel, or the repository's conf/."""
    return _resource("conf", "conf")


def embedded_dir() -> Path:
    """The embedded data sets: inside an installed wheel, or the repository's data/."""
    return _resource("embedded", "data")


def cache_dir() -> Path:
    """Where derived data that can be made again is kept: $DIFFLAB_CACHE, else ~/.cache/difflab."""
    fallback = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "difflab"
    return Path(os.environ.get("DIFFLAB_CACHE", fallback)).expanduser()


def _resource(in_wheel: str, in_repository: str) -> Path:
    packaged = _PACKAGE / in_wheel
    return packaged if packaged.is_dir() else _PACKAGE.parents[1] / in_repository
