"""A cache folder of one's own and random Inception weights."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import random_inception


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder of the test's own."""
    monkeypatch.setenv("DIFFLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A random Inception that every library reads, and its sha256."""
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    return path, random_inception.write(path)
