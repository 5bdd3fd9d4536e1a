"""What all tests share: a cache of their own, no tracker that goes outside, one run to look at."""

import copy
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.plugins.config_source import ConfigResult

from difflab.cli import main
from difflab.data import embedded
from difflab.runs.directory import Run


@pytest.fixture(scope="session", autouse=True)
def one_thread_a_worker() -> None:
    """Tests side by side would otherwise each take all cores, and wait for each other."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start
        torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def unpacked_once() -> Iterator[None]:
    """The embedded data, which most tests read and none changes, take a second to unpack."""
    patch = pytest.MonkeyPatch()
    patch.setattr(embedded, "read_arrays", lru_cache(embedded.read_arrays))
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Caches and keys of the user are neither read nor written."""
    patch = pytest.MonkeyPatch()
    patch.setenv("DIFFLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
    patch.delenv("WANDB_API_KEY", raising=False)
    patch.setenv("NETRC", os.devnull)
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def conf_read_once() -> Iterator[None]:
    """Hydra parses some thirty files a composition, and tests compose thousands of times."""
    patch, parsed = pytest.MonkeyPatch(), {}
    load = FileConfigSource.load_config

    def load_once(self: FileConfigSource, config_path: str) -> ConfigResult:
        file = Path(self.path, self._normalize_file_name(config_path))
        key = (self.path, config_path, file.stat().st_mtime_ns if file.exists() else None)
        if key not in parsed:
            parsed[key] = load(self, config_path)
        return copy.deepcopy(parsed[key])

    patch.setattr(FileConfigSource, "load_config", load_once)
    yield
    patch.undo()


def train(runs: Path, *overrides: str) -> Run:
    """A run in this process, of the smoke experiment unless another is named."""
    before = set(runs.glob("*/*"))
    experiment = [] if any(o.startswith("experiment=") for o in overrides) else ["experiment=smoke"]
    assert main(["train", *experiment, f"runs={runs}", *overrides]) == 0
    (new,) = set(runs.glob("*/*")) - before
    return Run(new)


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run without trackers, only to be read."""
    return train(tmp_path_factory.mktemp("runs"), "logger=none")
