"""What the network guesses at single steps: the noise that was added, and with it the picture."""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor

from difflab.denoiser import Pictures
from difflab.pictures.canvas import MARGIN, QUIET, describe, enlarged, scaling_note, shown
from difflab.pictures.chain import guess_of_noise, jump
from difflab.pictures.levels import Level
from difflab.pictures.subject import Page, Subject
from difflab.pictures.table import Room, Row, table
from difflab.progress import images_bar

HEADS = ("x_t\nseen", "eps\nadded", "eps_hat\nguessed", "eps_hat - eps\nerror", "x0_hat\nguessed", "x0\ntrue")


class Guess(NamedTuple):
    level: Level
    x: Pictures
    eps: Pictures
    eps_hat: Pictures
    x0_hat: Pictures


def draw(subject: Subject) -> Page:
    eps = subject.noise("guesses", len(subject.x0))(subject.x0)
    with images_bar("guesses", len(subject.at) * len(eps)) as advance:
        made = []
        for level in subject.ladder.levels(sorted(subject.at)):
            made.append(guess(subject, level, eps))
            advance(len(eps))
    levels = [errors(g, subject.x0) for g in made]
    return Page(_page(subject, made, levels), [], {"pictures": len(subject.x0), "levels": levels})


def guess(subject: Subject, level: Level, eps: Pictures) -> Guess:
    """What the denoiser says of every picture with this noise at this level."""
    x = jump(subject.x0, eps, level)
    x0_hat = torch.cat(subject.guess(x, level.alpha, level.sigma))
    return Guess(level, x, eps, guess_of_noise(x, x0_hat, level.alpha, level.sigma), x0_hat)


def errors(guess: Guess, x0: Pictures) -> dict[str, Any]:
    """Squared errors, mean over pixels and pictures, with the standard error over the pictures."""
    numbers: dict[str, Any] = guess.level.numbers()
    for name, made, true in (("eps", guess.eps_hat, guess.eps), ("x0", guess.x0_hat, x0)):
        each = (made - true).double().square().flatten(1).mean(1)
        numbers |= {f"{name}_mse": each.mean().item(), f"{name}_mse_error": (each.std() / math.sqrt(len(each))).item()}
    return numbers


def _page(subject: Subject, made: list[Guess], numbers: list[dict[str, Any]]) -> UInt8[Tensor, "3 h w"]:
    rows = [_row(subject, g, found) for g, found in zip(made, numbers, strict=True)]
    note = scaling_note([g.level for g in made])
    title = f"What is guessed at single steps: {subject.names['denoiser']}"
    below = f"on the right the mean squared errors over {len(subject.x0)} pictures {subject.names['x0']}"
    sheet, y = table(title, below, HEADS, rows, Room(left=150, right=270, below=30 if note else 0))
    sheet.text(MARGIN, y + 24, note, color=QUIET)
    return sheet.render()


def _row(subject: Subject, g: Guess, found: dict[str, Any]) -> Row:
    images = (shown(g.x, g.level), *map(enlarged, (g.eps, g.eps_hat, g.eps_hat - g.eps, g.x0_hat, subject.x0)))
    keys = [(name, f"{name}_mse", f"{name}_mse_error") for name in ("eps", "x0")]
    words = [f"{name}  {_short(found[mse])} ± {_short(found[error])}" for name, mse, error in keys]
    return Row(describe(g.level), [image[0] for image in images], "\n".join(words))


def _short(x: int | float) -> str:
    return f"{x:.2g}" if x >= 1e-6 else "0"
