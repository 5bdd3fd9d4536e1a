"""Make an emoji folder (emoji.npz, emoji.json, contact_sheet.png) from three open emoji sets on npm.

    python data/build_emoji.py                       # data/emoji, 32x32
    python data/build_emoji.py --size 64             # data/emoji_64; train with
                                                     # data=emoji data.root=data/emoji_64 data.shape=[3,64,64]

Needs npm (to fetch the pinned packages) and the extra `emoji` (resvg-py, which draws them).
"""

import argparse
import io
import json
import re
import subprocess
import tarfile
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import resvg_py
from contact_sheet import contact_sheet
from PIL import Image

from difflab.data.archive import write_arrays
from difflab.rng import fold

# In the order in which they give an emoji its name and category: the sets disagree on some.
PACKAGES = {
    "noto": "@iconify-json/noto@1.2.9",
    "twemoji": "@iconify-json/twemoji@1.2.5",
    "fluent": "@iconify-json/fluent-emoji-flat@1.2.6",
}
SKIN_TONE = re.compile(r"-(light|medium|dark)(-|$)")
SEED = 0
VAL_ONE_IN = 10


@dataclass(frozen=True)
class Emoji:
    """One drawing of one emoji."""

    split: str
    name: str
    category: str
    style: str
    code: str
    icon: str


def fetch(package: str, folder: Path) -> dict[str, dict]:
    """The icon, category and code point tables of one npm package."""
    command = ["npm", "pack", "--silent", "--pack-destination", str(folder), package]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
    with tarfile.open(folder / name) as tar:
        tar.extractall(folder / Path(name).stem, filter="data")
    tables = folder / Path(name).stem / "package"
    return {t: json.loads((tables / f"{t}.json").read_text()) for t in ("icons", "metadata", "chars")}


def visible(table: dict[str, dict]) -> dict[str, tuple[str, str]]:
    """Code point -> (icon, category), without skin tones.

    Icons outside every category are old names of the same emoji: they would put one emoji into both splits.
    """
    code_of = {}
    for code, icon in sorted(table["chars"].items(), key=lambda item: -len(item[0])):
        code_of[icon] = code.replace("-fe0f", "")
    return {
        code_of[icon]: (icon, category)
        for category, icons in table["metadata"]["categories"].items()
        for icon in icons
        if not (category == "People & Body" and SKIN_TONE.search(icon))
    }


def caption_words(icon: str) -> str:
    """`flag-japan` -> `flag of japan`, `cat-with-tears-of-joy` -> `cat with tears of joy`."""
    return re.sub(r"^flag-(?!for-|in-)", "flag-of-", icon).replace("-", " ")


def catalogue(tables: dict[str, dict]) -> list[Emoji]:
    """Every drawing, in a seeded order; an emoji has one name, category and split whatever its style."""
    found: list[Emoji] = []
    first: dict[str, tuple[str, str]] = {}
    for style, table in tables.items():
        for code, (icon, category) in visible(table).items():
            name, category = first.setdefault(code, (caption_words(icon), category))
            split = "val" if fold(SEED, name) % VAL_ONE_IN == 0 else "train"
            found.append(Emoji(split, name, category, style, code, icon))
    return sorted(found, key=lambda e: fold(SEED, "order", e.name, e.style))


def draw(icons: dict, icon: str, size: int) -> np.ndarray:
    """One icon on white, uint8 [size, size, 3]; one that is not square is centred."""
    entry = icons["icons"][icon]
    width, height = (entry.get(k, icons.get(k, 16)) for k in ("width", "height"))
    side = max(width, height)
    left, top = entry.get("left", 0) - (side - width) / 2, entry.get("top", 0) - (side - height) / 2
    view = f"{left} {top} {side} {side}"
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{view}">'
    svg += entry["body"] + "</svg>"
    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, background="#ffffff")
    return np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGB"))


def without_leaks(emojis: list[Emoji], pixels: np.ndarray) -> np.ndarray:
    """Which to keep: not the val pictures that equal a training picture (some flags and families)."""
    seen = {p.tobytes() for e, p in zip(emojis, pixels, strict=True) if e.split == "train"}
    return np.array([e.split == "train" or p.tobytes() not in seen for e, p in zip(emojis, pixels, strict=True)])


def write_metadata(path: Path, emojis: list[Emoji]) -> None:
    """A JSON array, one line a picture, in the order of the pixels."""
    rows = [{k: v for k, v in asdict(e).items() if k != "icon"} for e in emojis]
    path.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


def sheet_rows(emojis: list[Emoji], pixels: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """For each category and style its first 16 pictures."""
    keys = sorted({(e.category, e.style) for e in emojis})
    index = {key: [i for i, e in enumerate(emojis) if (e.category, e.style) == key][:16] for key in keys}
    return [(f"{c}, {s}", pixels[i]) for (c, s), i in index.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=32, help="height and width in pixels")
    parser.add_argument("--out", type=Path, help="default: emoji, or emoji_SIZE, beside this script")
    args = parser.parse_args()
    out = args.out or Path(__file__).parent / ("emoji" if args.size == 32 else f"emoji_{args.size}")
    with tempfile.TemporaryDirectory() as folder:
        tables = {style: fetch(package, Path(folder)) for style, package in PACKAGES.items()}
    emojis = catalogue(tables)
    out.mkdir(parents=True, exist_ok=True)
    print(f"drawing {len(emojis)} emoji at {args.size}x{args.size} into {out}")
    pixels = np.stack([draw(tables[e.style]["icons"], e.icon, args.size) for e in emojis])
    keep = without_leaks(emojis, pixels)
    emojis, pixels = [e for e, k in zip(emojis, keep, strict=True) if k], pixels[keep]
    for licence in (Path(__file__).parent / "emoji").glob("LICENSE*"):
        (out / licence.name).write_bytes(licence.read_bytes())
    write_arrays(out / "emoji.npz", {"pixels": pixels})
    write_metadata(out / "emoji.json", emojis)
    contact_sheet(sheet_rows(emojis, pixels), out / "contact_sheet.png")


if __name__ == "__main__":
    main()
