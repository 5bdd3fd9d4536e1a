"""All pictures of a subject: drawn first, then written, so that what can't be drawn leaves nothing behind."""

import math
from pathlib import Path
from typing import Any

import torch

from difflab.files import write_json
from difflab.pictures import forward, guesses, markov, reverse, schedule, weight
from difflab.pictures.subject import Page, Subject
from difflab.pixels import save_gif, save_png

PAGES = {
    "schedule": schedule.draw,
    "weight": weight.draw,
    "forward": forward.draw,
    "markov": markov.draw,
    "guesses": guesses.draw,
    "reverse": reverse.draw,
}


@torch.inference_mode()
def drawn(subject: Subject) -> dict[str, Page]:
    return {name: draw(subject) for name, draw in PAGES.items()}


def write(pages: dict[str, Page], out: Path, about: dict[str, Any]) -> list[Path]:
    """Every NAME.png, NAME.gif and explain.json with `about` and the numbers; the pictures that were written."""
    paths = []
    for name, page in pages.items():
        save_png(out / f"{name}.png", page.picture)
        paths.append(out / f"{name}.png")
        if page.film:
            save_gif(out / f"{name}.gif", page.film, ms=120)
            paths.append(out / f"{name}.gif")
    write_json(out / "explain.json", finite(about | {name: page.numbers for name, page in pages.items()}))
    return paths


def finite(value: Any) -> Any:
    """`value` with null for infinite numbers, which JSON has no word for."""
    if isinstance(value, dict):
        return {key: finite(child) for key, child in value.items()}
    if isinstance(value, list):
        return [finite(child) for child in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
