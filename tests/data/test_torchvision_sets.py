"""Small files in the real formats; only the md5 table of torchvision is replaced, by the md5s of these files."""

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import datasets

from difflab.data.torchvision_sets import cifar10, cifar100, fashion_mnist, mnist
from difflab.errors import DifflabError

RNG = np.random.default_rng(0)
PREFIXES = {"train": 12, "t10k": 5}


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def write_cifar(root: Path, dataset: Any, key: str, patch: pytest.MonkeyPatch) -> np.ndarray:
    """A tar.gz of pickled batches as the authors made them; returns the first batch's rows."""
    root.mkdir(exist_ok=True)
    files, first = {}, None
    for name, _ in dataset.train_list + dataset.test_list:
        rows = RNG.integers(0, 256, (4, 3072), dtype=np.uint8)
        files[name] = pickle.dumps({"data": rows, key: [0, 1, 2, 9]}, protocol=2)
        first = rows if first is None else first
    meta = dataset.meta
    files[meta["filename"]] = pickle.dumps({meta["key"]: ["a"] * 10}, protocol=2)
    with tarfile.open(root / dataset.filename, "w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{dataset.base_folder}/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    patch.setattr(dataset, "tgz_md5", md5((root / dataset.filename).read_bytes()))
    for table in ("train_list", "test_list"):
        patch.setattr(dataset, table, [[name, md5(files[name])] for name, _ in getattr(dataset, table)])
    patch.setattr(dataset, "meta", {**meta, "md5": md5(files[meta["filename"]])})
    assert first is not None
    return first


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx(folder: Path, compress: bool) -> dict[str, np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for prefix, n in PREFIXES.items():
        arrays[f"{prefix}-images-idx3-ubyte"] = RNG.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        arrays[f"{prefix}-labels-idx1-ubyte"] = (np.arange(n) % 10).astype(np.uint8)
    for name, array in arrays.items():
        if compress:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (folder / name).write_bytes(idx(array))
    return arrays


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setenv("DIFFLAB_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("load", "dataset", "key", "n"),
    [(cifar10, datasets.CIFAR10, "labels", 20), (cifar100, datasets.CIFAR100, "fine_labels", 4)],
)
@pytest.mark.parametrize("download", [True, False])
def test_cifar_from_its_archive(
    load: Any, dataset: Any, key: str, n: int, download: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write_cifar(tmp_path / "data", dataset, key, monkeypatch)
    train, val = load([3, 32, 32], root=str(tmp_path / "data"), download=download)
    assert (len(train), len(val)) == (n, 4)
    assert np.array_equal(train.pixels[:4].numpy(), rows.reshape(4, 3, 32, 32))
    assert train.labels[:4].tolist() == [0, 1, 2, 9]
    (tmp_path / "data" / dataset.filename).unlink()  # unpacked by now
    again, _ = load([3, 32, 32], root=str(tmp_path / "data"), download=False)
    assert again.digest() == train.digest()


def test_a_changed_cifar_file_is_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path / "data", datasets.CIFAR10, "labels", monkeypatch)
    cifar10([3, 32, 32], root=str(tmp_path / "data"))
    (tmp_path / "data" / datasets.CIFAR10.filename).unlink()
    (tmp_path / "data/cifar-10-batches-py/data_batch_3").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(DifflabError, match="data set cifar10 is not in"):
        cifar10([3, 32, 32], root=str(tmp_path / "data"))


@pytest.mark.parametrize("place", [".", "raw", "FashionMNIST/raw"])
@pytest.mark.parametrize("compress", [True, False])
def test_idx_files_wherever_they_lie(place: str, compress: bool, tmp_path: Path) -> None:
    arrays = write_idx(tmp_path / place, compress)
    train, val = fashion_mnist([1, 32, 32], root=str(tmp_path))
    assert (train.shape, len(train), len(val)) == ((1, 32, 32), 12, 5)
    assert np.array_equal(train.pixels[:, 0, 2:30, 2:30].numpy(), arrays["train-images-idx3-ubyte"])
    assert torch.equal(val.labels, torch.arange(5))


def test_mnist_lies_in_the_cache_by_default(tmp_path: Path) -> None:
    write_idx(tmp_path / "cache/data/MNIST/raw", compress=True)
    train, _ = mnist([1, 16, 16])
    assert train.shape == (1, 16, 16)


@pytest.mark.parametrize(("load", "name"), [(cifar10, "cifar10"), (cifar100, "cifar100"), (mnist, "mnist")])
def test_offline_one_line_says_what_where_and_how(load: Any, name: str, tmp_path: Path) -> None:
    with pytest.raises(DifflabError) as caught:
        load([3, 32, 32], root=str(tmp_path / "none"))
    message = str(caught.value)
    assert "\n" not in message
    assert "no network" in message
    assert f"`difflab doctor data={name} data.root={tmp_path / 'none'}`" in message


def test_nothing_is_fetched_when_downloads_are_off(tmp_path: Path) -> None:
    with pytest.raises(DifflabError, match=r"data\.source\.download is false"):
        mnist([1, 32, 32], root=str(tmp_path), download=False)


def zipped(content: bytes) -> bytes:
    """Without the time of day, which the names of tests would hold: two workers have to agree on them."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped(b"hello"), "is not an idx file"),
        (zipped(idx(np.zeros((12, 28, 28), np.uint8))[:-1]), "is cut off"),
        (zipped(idx(np.zeros((12, 28, 28), np.uint8)))[:40], "can't be read"),
        (zipped(bytes((0, 0, 8, 3, 0))), "is cut off"),
        (zipped(idx(np.zeros((11, 28, 28), np.uint8))), "do not match"),
        (b"", "is not an idx file|can't be read"),
    ],
)
def test_broken_idx_files_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    write_idx(tmp_path, compress=True)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(DifflabError, match=message):
        mnist([1, 32, 32], root=str(tmp_path))
