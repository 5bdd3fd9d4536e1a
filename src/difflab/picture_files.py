"""A single picture that a user names: read as it is, or made to fit only where that was asked for."""

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Bool, UInt8
from PIL import Image, ImageOps
from torch import Tensor

from difflab.data.decode import BROKEN, Decoder
from difflab.errors import DifflabError
from difflab.runs.directory import user_path

WHITE = 128  # and brighter, in a mask
GREY_MODES = ("1", "L", "LA", "La", "I", "F")


@dataclass(frozen=True)
class PictureFile:
    """A picture on disk; `key` is the setting that names it, for messages.

    Raises DifflabError, when it is made, for a file that is missing or is no picture.
    """

    key: str
    name: str

    def __post_init__(self) -> None:
        self.opened()

    @property
    def path(self) -> Path:
        return user_path(self.name)

    @property
    def said(self) -> str:
        return f"{self.key}={self.name}"

    def opened(self) -> Image.Image:
        """The whole picture, the way up that its camera noted."""
        if not self.path.exists():
            raise DifflabError(f"{self.said}: there is no such file")
        try:
            with Image.open(self.path) as picture:
                return ImageOps.exif_transpose(picture)
        except BROKEN as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> DifflabError:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        return DifflabError(f"{self.said} can't be read as a picture ({reason}): name a PNG or JPEG file")

    def read(
        self, shape: tuple[int, int | None, int | None], resize: str | None, convert: bool
    ) -> UInt8[Tensor, "c h w"]:
        """The picture in `shape` (None: its own height and width).

        Raises DifflabError for another size without a `resize`, and for colour, grey or transparency that is not
        wanted, without `convert`.
        """
        picture = self.opened()
        channels, height, width = shape[0], shape[1] or picture.height, shape[2] or picture.width
        if not convert:
            self._check_mode(picture, channels)
        if resize is None and picture.size != (width, height):
            raise DifflabError(
                f"{self.said} is {picture.width}x{picture.height} pixels, and the task takes {width}x{height}: set "
                "resize=crop (or pad, squash), or name another picture"
            )
        try:
            return Decoder((channels, height, width), resize or "crop")(picture)
        except BROKEN as error:
            raise self._broken(error) from error

    def _check_mode(self, picture: Image.Image, channels: int) -> None:
        if _is_transparent(picture):
            raise DifflabError(f"{self.said} is transparent in places: set convert=true to put it on white")
        if channels == 3 and picture.mode.split(";")[0] in GREY_MODES:
            raise DifflabError(f"{self.said} is grey, and the task takes colour: set convert=true to take it as it is")
        if channels == 1 and not _is_grey(picture):
            raise DifflabError(
                f"{self.said} is in colour, and the task takes grey: set convert=true to drop the colour"
            )


def read_mask(
    file: PictureFile, image: PictureFile, shape: tuple[int, int | None, int | None], resize: str | None
) -> Bool[Tensor, "h w"]:
    """Where a mask is white, made to fit as its picture is.

    Raises DifflabError for a mask of another size, or one that is transparent, which is neither black nor white.
    """
    mask, picture = file.opened(), image.opened()
    if _is_transparent(mask):
        raise DifflabError(
            f"{file.said} is transparent in places: save it without, white what is filled, black what stays"
        )
    if mask.size != picture.size:
        raise DifflabError(
            f"{file.said} is {mask.width}x{mask.height} pixels, and {image.said} {picture.width}x{picture.height}: "
            "a mask has the size of its picture"
        )
    _, height, width = shape
    return file.read((1, height, width), resize, convert=True)[0] >= WHITE


def _is_transparent(picture: Image.Image) -> bool:
    return picture.has_transparency_data and picture.convert("RGBA").getchannel("A").getextrema() != (255, 255)


def _is_grey(picture: Image.Image) -> bool:
    if picture.mode.split(";")[0] in GREY_MODES:
        return True
    red, green, blue = picture.convert("RGB").split()
    return red.tobytes() == green.tobytes() == blue.tobytes()
