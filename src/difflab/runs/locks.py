"""One process at a time for a folder: the kernel frees the lock when the process dies, however it dies."""

import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from difflab.errors import BusyError

PATIENCE = 1.0  # seconds: somebody may only be looking whether the folder is held


@contextmanager
def held(folder: Path, doing: str) -> Iterator[None]:
    """Hold `<folder>/.lock`, making the folder; `doing` is what its holder does, such as "is trained".

    Raises BusyError where another process holds it, which it names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as file:
        if not _taken(file, PATIENCE):
            raise BusyError(f"{folder} {doing} by {_holder(file)} already: wait until it has ended, or end it yourself")
        _sign(file)
        yield


def is_held(folder: Path) -> bool:
    """Whether a living process holds the folder."""
    path = folder / ".lock"
    if not path.exists():
        return False
    with path.open("a+") as file:
        return not _taken(file, 0.0)


def holder_here(folder: Path) -> int | None:
    """The id of the living process that holds the folder, if it is one of this machine."""
    if not is_held(folder):
        return None
    found = re.fullmatch(r"process (\d+) on (.*)", (folder / ".lock").read_text())
    return int(found[1]) if found and found[2] == socket.gethostname() else None


def _taken(file: TextIO, patience: float) -> bool:
    """Take the lock, which lasts until the file is closed."""
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.05)


def _sign(file: TextIO) -> None:
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()


def _holder(file: TextIO) -> str:
    file.seek(0)
    return file.read() or "another process"
