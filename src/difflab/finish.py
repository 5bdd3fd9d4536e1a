"""What a run ends with: the last grid, the film, the figures and result.json."""

from pathlib import Path

from difflab.callbacks.parts import Parts
from difflab.lit import Diffusion
from difflab.pixels import grid, save_gif
from difflab.result import write_result
from difflab.tracking import Recorder


def finish(module: Diffusion, parts: Parts, recorder: Recorder, n: int) -> None:
    """Write and print them, the figures from `n` samples."""
    picture = parts.samples.write(module)
    film = _film(module, parts, recorder)
    figures = parts.evaluation.measure(module, n) if parts.evaluation else []
    write_result(recorder, figures, module.nimg, parts.throughput.session.per_second or None)
    for figure in figures:
        print(figure)
    print(f"samples: {picture}\nfilm: {film}")


def _film(module: Diffusion, parts: Parts, recorder: Recorder) -> Path:
    path = recorder.run.samples / "reverse.gif"
    with parts.ema.applied(module):
        frames = parts.samples.generation.film(module.denoiser, parts.samples.seed, range(16), module.device)
        save_gif(path, [grid(f, scale=4) for f in frames], ms=120)
    recorder.picture(module.nimg, "samples/reverse", path)
    return path
