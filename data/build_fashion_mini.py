"""Make data/fashion_mini from Fashion-MNIST's four idx.gz files.

apt-get install dataset-fashion-mnist      # Debian; or fetch the files from the project's page
python data/build_fashion_mini.py [/usr/share/datasets/fashion-mnist]
"""

import argparse
import gzip
from pathlib import Path

import numpy as np
from contact_sheet import contact_sheet

from difflab.data.archive import write_arrays

CLASSES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
SEED = 0
PER_CLASS = {"train": 2000, "val": 200}
PREFIX = {"train": "train", "val": "t10k"}


def read_idx(path: Path, header: int) -> np.ndarray:
    """The bytes after an idx file's header."""
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)


def choose(labels: np.ndarray, per_class: int) -> np.ndarray:
    """Indices of `per_class` pictures a class, the classes in turn, so that every prefix is balanced."""
    rng = np.random.default_rng(SEED)
    chosen = [rng.permutation(np.flatnonzero(labels == c))[:per_class] for c in range(len(CLASSES))]
    return np.stack(chosen, axis=1).ravel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, nargs="?", default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "fashion_mini")
    args = parser.parse_args()
    arrays: dict[str, np.ndarray] = {}
    for split, prefix in PREFIX.items():
        pixels = read_idx(args.source / f"{prefix}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
        labels = read_idx(args.source / f"{prefix}-labels-idx1-ubyte.gz", 8)
        index = choose(labels, PER_CLASS[split])
        arrays |= {f"{split}_pixels": pixels[index], f"{split}_labels": labels[index]}
    write_arrays(args.out / "fashion_mini.npz", arrays)
    by_class = arrays["train_pixels"].reshape(-1, len(CLASSES), 28, 28).swapaxes(0, 1)
    contact_sheet([(n, p[:20]) for n, p in zip(CLASSES, by_class, strict=True)], args.out / "contact_sheet.png")


if __name__ == "__main__":
    main()
