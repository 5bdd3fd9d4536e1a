"""CIFAR and the MNIST family, fetched by torchvision where there is a network, read from `root` where there is none.

CIFAR's files are pickles: torchvision opens them after it has checked their md5, so only the original ones.
"""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torchvision import datasets
from torchvision.datasets.utils import check_integrity

from difflab.data.idx import find_idx, read_idx
from difflab.data.images import Images, fit
from difflab.errors import DifflabError
from difflab.files import cache_dir

TIMEOUT_S = 20.0  # without an answer from the network
DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")


def cifar10(shape: Sequence[int], root: str | None = None, download: bool = True) -> tuple[Images, Images]:
    """50,000 + 10,000 colour pictures in 10 classes, 32x32.

    root: holds cifar-10-python.tar.gz or cifar-10-batches-py/; null = difflab's cache, fetched when missing.
    """
    return _cifar("cifar10", datasets.CIFAR10, shape, root, download)


def cifar100(shape: Sequence[int], root: str | None = None, download: bool = True) -> tuple[Images, Images]:
    """50,000 + 10,000 colour pictures in 100 classes, 32x32.

    root: holds cifar-100-python.tar.gz or cifar-100-python/; null = difflab's cache, fetched when missing.
    """
    return _cifar("cifar100", datasets.CIFAR100, shape, root, download)


def mnist(shape: Sequence[int], root: str | None = None, download: bool = True) -> tuple[Images, Images]:
    """60,000 + 10,000 grey digits, 28x28 padded to 32x32 with black (or averaged to smaller).

    root: holds the four idx files (plain or .gz), itself or as MNIST/raw; null = difflab's cache.
    """
    return _mnist_like("mnist", datasets.MNIST, shape, root, download, [])


def fashion_mnist(shape: Sequence[int], root: str | None = None, download: bool = True) -> tuple[Images, Images]:
    """60,000 + 10,000 grey garments, 28x28 padded to 32x32 with black (or averaged to smaller).

    root: holds the four idx files (plain or .gz), itself or as FashionMNIST/raw; null = Debian's package
    dataset-fashion-mnist, else difflab's cache.
    """
    places = [DEBIAN_FASHION] if root is None else []
    return _mnist_like("fashion_mnist", datasets.FashionMNIST, shape, root, download, places)


def _cifar(name: str, dataset: Any, shape: Sequence[int], root: str | None, download: bool) -> tuple[Images, Images]:
    folder = _folder(root)
    archive = folder / dataset.filename
    unpack = check_integrity(archive, dataset.tgz_md5)

    def load(train: bool) -> Images:
        data = dataset(folder, train=train)
        pixels = torch.from_numpy(data.data).permute(0, 3, 1, 2)
        return Images(fit(pixels, shape, name), torch.tensor(data.targets))

    try:
        return load(True), load(False)
    except RuntimeError:  # torchvision's word for missing or another md5
        with _explained(name, folder, f"{dataset.filename} or the folder {dataset.base_folder}", download or unpack):
            dataset(folder, download=True)
    return load(True), load(False)


def _mnist_like(
    name: str, dataset: Any, shape: Sequence[int], root: str | None, download: bool, places: list[Path]
) -> tuple[Images, Images]:
    folder = _folder(root)
    places = [*places, folder, folder / "raw", folder / dataset.__name__ / "raw"]
    place = next(filter(_holds_all, places), None)
    if place is None:
        with _explained(name, folder, "train-images-idx3-ubyte.gz and its three fellows", download):
            dataset(folder, download=True)
        place = folder / dataset.__name__ / "raw"

    def load(prefix: str) -> Images:
        pixels, labels = (read_idx(find_idx(place, file) or place / file) for file in _files(prefix))
        if pixels.dim() != 3 or labels.dim() != 1 or len(pixels) != len(labels):
            shapes = f"{list(pixels.shape)} and {list(labels.shape)}"
            raise DifflabError(f"{place}: pictures and labels of '{prefix}' do not match ({shapes}): fetch them again")
        return Images(fit(pixels[:, None], shape, name, canvas=32), labels.long())

    return load("train"), load("t10k")


def _files(prefix: str) -> list[str]:
    return [f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"]


def _holds_all(folder: Path) -> bool:
    return all(find_idx(folder, file) for prefix in ("train", "t10k") for file in _files(prefix))


def _folder(root: str | None) -> Path:
    return cache_dir() / "data" if root is None else Path(root).expanduser()


@contextmanager
def _explained(name: str, folder: Path, files: str, download: bool) -> Iterator[None]:
    """Fetching inside, if it is allowed; every way to fail becomes one line that says how to go on."""
    ways = (
        f"put {files} there, or where there is a network run `difflab doctor data={name} data.root={folder}`, "
        "or train on embedded data (data=fashion_mini, data=emoji)"
    )
    if not download:
        raise DifflabError(f"data set {name} is not in {folder} and data.source.download is false: {ways}")
    try:
        with _timeout(TIMEOUT_S):
            yield
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise DifflabError(f"data set {name} is not in {folder} and can't be fetched ({reason}): {ways}") from None


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
