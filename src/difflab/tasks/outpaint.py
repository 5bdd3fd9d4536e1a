"""A picture with more around it: on a canvas larger than what the network was trained on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from difflab.around import Around, WithVariance
from difflab.denoiser import Denoise, Pictures
from difflab.errors import DifflabError
from difflab.generation import Generation
from difflab.tasks.base import Edit, Inputs, Task
from difflab.tasks.inpaint import as_picture, keeping

GREY = 128  # what is shown of the canvas where there is no picture yet


@dataclass(frozen=True)
class Outpaint(Task):
    """`left`, `right`, `top` and `bottom` more pixels, guessed in windows that `overlap` by a share of their size."""

    left: int
    right: int
    top: int
    bottom: int
    overlap: int | float

    of_pixels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        sides = (self.left, self.right, self.top, self.bottom)
        if min(sides) < 0 or max(sides) == 0:
            names = ", ".join(f"task.{name}={getattr(self, name)}" for name in ("left", "right", "top", "bottom"))
            raise DifflabError(f"{names}: pixels to add, 0 or more at each side and 1 or more at one")
        if not 0 <= self.overlap < 1:
            raise DifflabError(f"task.overlap={self.overlap}: a share of a window from 0 to below 1, such as 0.5")

    def image_shape(self, shape: Sequence[int]) -> tuple[int, int | None, int | None]:
        return shape[0], None, None

    def __call__(self, plain: Generation, given: Inputs) -> Edit:
        assert given.image is not None
        room = (self.left, self.right, self.top, self.bottom)
        canvas = pad(given.image, room, value=GREY)
        keep = pad(torch.ones(given.image.shape[1:], dtype=torch.bool), room)
        made = keeping(plain, canvas, keep)
        size = _checked_window(plain.shape[1:], canvas.shape[1:])
        consistent = made.wrap
        made = replace(made, wrap=lambda denoise: consistent(Windows(denoise, size, self.overlap)))
        return Edit(made, {"before": canvas, "mask": as_picture(~keep, canvas)})


def _checked_window(window: Sequence[int], canvas: Sequence[int]) -> tuple[int, int]:
    (h, w), (height, width) = window, canvas
    if height < h or width < w:
        raise DifflabError(
            f"the canvas of {width}x{height} is smaller than the run's pictures of {w}x{h}: add more "
            "pixels with task.left, task.right, task.top and task.bottom"
        )
    return h, w


@dataclass(frozen=True)
class Windows(Around):
    """A denoiser of pictures of one size on any larger canvas: MultiDiffusion (2302.08113).

    The guess of a pixel is the mean of the guesses of the windows that hold it. For a step that is affine in the guess,
    as Euler's, that is their mean of the windows' states.
    """

    main: Denoise
    size: tuple[int, int]
    overlap: int | float

    def __call__(self, x: Pictures, alpha: Tensor, sigma: Tensor) -> Pictures:
        return self._mean(x, lambda part: self.main(part, alpha, sigma)[None])[0]

    def around(self, main: WithVariance, x: Pictures, alpha: Tensor, sigma: Tensor) -> tuple[Pictures, Pictures]:
        x0, fraction = self._mean(x, lambda part: torch.stack(main(part, alpha, sigma)))
        return x0, fraction

    def _mean(self, x: Pictures, guess: Callable[[Tensor], Tensor]) -> Float[Tensor, "k b c h w"]:
        total, count = None, torch.zeros_like(x[0, 0])
        for window in self._windows(x):
            found = guess(x[window])
            total = x.new_zeros(len(found), *x.shape) if total is None else total
            total[window] += found
            count[window[-2:]] += 1
        assert total is not None
        return total / count

    def _windows(self, x: Pictures) -> Iterator[tuple]:
        places = (_places(n, size, self.overlap) for n, size in zip(x.shape[-2:], self.size, strict=True))
        for top, left in product(*places):
            yield ..., slice(top, top + self.size[0]), slice(left, left + self.size[1])


def _places(n: int, size: int, overlap: int | float) -> list[int]:
    """Where windows of `size` begin that cover n pixels evenly and overlap by that share at least."""
    step = max(1, int(size * (1 - overlap)))
    count = -(-(n - size) // step) + 1
    return torch.linspace(0, n - size, count).round().int().tolist()
