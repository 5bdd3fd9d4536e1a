"""Large pictures out of small ones, colour out of grey: the picture given is a measurement of the one wanted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from difflab.errors import DifflabError
from difflab.generation import Generation
from difflab.pixels import to_model, to_uint8
from difflab.tasks.base import Edit, Inputs, Picture, Task
from difflab.tasks.measurements import AreaAverage, ChannelMean, Consistency, Measurement


@dataclass(frozen=True)
class Upscale(Task):
    """A picture `factor` times as high and wide, whose squares of pixels have the given pixels as their means."""

    factor: int

    of_pixels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.factor < 2:
            raise DifflabError(f"task.factor={self.factor}: a picture becomes larger by 2 or more")

    def image_shape(self, shape: Sequence[int]) -> tuple[int, int | None, int | None]:
        c, h, w = shape
        if h % self.factor or w % self.factor:
            raise DifflabError(
                f"task.factor={self.factor} does not divide the run's pictures of {w}x{h}: take a factor that does"
            )
        return c, h // self.factor, w // self.factor

    def __call__(self, plain: Generation, given: Inputs) -> Edit:
        assert given.image is not None
        return _restored(plain, AreaAverage(self.factor), given.image)


@dataclass(frozen=True)
class Colorize(Task):
    """A picture in colour, whose channels have the given grey as mean."""

    of_pixels: ClassVar[bool] = True

    def image_shape(self, shape: Sequence[int]) -> tuple[int, int | None, int | None]:
        c, h, w = shape
        if c == 1:
            raise DifflabError("task=colorize: the run makes grey pictures; take one in colour, as of data=emoji")
        return 1, h, w

    def __call__(self, plain: Generation, given: Inputs) -> Edit:
        assert given.image is not None
        return _restored(plain, ChannelMean(plain.shape[0]), given.image)


def _restored(plain: Generation, measure: Measurement, image: Picture) -> Edit:
    known = Consistency(measure, to_model(image[None]))
    made = replace(plain, wrap=known, start=known.start(plain.nodes), finish=known.picture)
    return Edit(made, {"before": to_uint8(measure.inverse(known.y))[0]})
