"""Tasks: what a trained run does with a picture. Each is a start, a grid and a denoiser wrapper (see generation.py)."""

from difflab.tasks.base import Edit, Inputs, Task
from difflab.tasks.img2img import Img2Img, Variations
from difflab.tasks.inpaint import Inpaint
from difflab.tasks.interpolate import Interpolate
from difflab.tasks.invert import Invert
from difflab.tasks.outpaint import Outpaint
from difflab.tasks.restore import Colorize, Upscale
from difflab.tasks.reword import Reword

__all__ = [
    "Colorize",
    "Edit",
    "Img2Img",
    "Inpaint",
    "Inputs",
    "Interpolate",
    "Invert",
    "Outpaint",
    "Reword",
    "Task",
    "Upscale",
    "Variations",
]
