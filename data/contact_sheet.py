"""A labelled contact sheet: one row of pictures per name."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONT = ImageFont.load_default(13)


def contact_sheet(rows: Sequence[tuple[str, np.ndarray]], path: Path, scale: int = 1) -> None:
    """Write rows of (label, uint8 pictures [n, h, w] or [n, h, w, 3]) as one PNG."""
    pictures = [_enlarge(np.concatenate(list(row), axis=1), scale) for _, row in rows]
    height, width = pictures[0].shape[0], max(p.shape[1] for p in pictures)
    margin = 12 + int(max(FONT.getlength(label) for label, _ in rows))
    grey = pictures[0].ndim == 2
    sheet = Image.new("L" if grey else "RGB", (margin + width, height * len(rows)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, ((label, _), picture) in enumerate(zip(rows, pictures, strict=True)):
        sheet.paste(Image.fromarray(picture), (margin, index * height))
        draw.text((6, index * height + height // 2), label, fill="black", font=FONT, anchor="lm")
    sheet.save(path, optimize=True)


def _enlarge(picture: np.ndarray, scale: int) -> np.ndarray:
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)
