"""Progress of long work, counted in images: a bar in a terminal, a line now and then in a log file."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

LOG_SECONDS = 15.0

Advance = Callable[..., None]
"""Called with the number of images done since the last call, and a note such as the loss."""
Bars = Callable[[str, int], AbstractContextManager[Advance]]
"""Opens a bar from its label and its number of images: `images_bar` or `silent`."""


@contextmanager
def silent(label: str, total: int) -> Iterator[Advance]:
    """No bar."""
    yield lambda images, note="": None


@contextmanager
def images_bar(label: str, total: int, done: int = 0) -> Iterator[Advance]:
    """Yields `advance(images, note="")`; the bar shows images done, images/s, the note and the time left."""
    if sys.stderr.isatty():
        yield from _bar(label, total, done)
    else:
        yield from _lines(label, total, done)


def _bar(label: str, total: int, done: int) -> Iterator[Advance]:
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TextColumn("{task.completed:,.0f}/{task.total:,.0f} images"),
        progress.TextColumn("{task.fields[rate]:,.0f} images/s"),
        progress.TextColumn("{task.fields[note]}"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=_console(), refresh_per_second=4) as bar:
        task, start, first = (
            bar.add_task(label, total=total, completed=done, rate=0.0, note=""),
            time.monotonic(),
            done,
        )

        def advance(images: int, note: str = "") -> None:
            nonlocal done
            done += images
            rate = (done - first) / max(time.monotonic() - start, 1e-9)
            bar.update(task, completed=done, rate=rate, note=note)

        yield advance


@lru_cache
def _console() -> "Console":
    """One for all bars, so that a bar within a bar stands below it."""
    from rich.console import Console

    return Console(stderr=True)


def _lines(label: str, total: int, done: int) -> Iterator[Advance]:
    start = printed = time.monotonic()
    first = done

    def advance(images: int, note: str = "") -> None:
        nonlocal done, printed
        done += images
        now = time.monotonic()
        if now - printed < LOG_SECONDS:
            return
        printed = now
        rate = (done - first) / (now - start)
        left = f"{(total - done) / rate:,.0f} s left" if rate > 0 else "the time left is not known yet"
        line = f"{label}: {done:,}/{total:,} images, {rate:,.0f} images/s, {note}, {left}"
        print(line.replace(", ,", ","), file=sys.stderr, flush=True)

    yield advance
