"""What a run ends with: the last grid, the film, the figures and result.json."""

from pathlib import Path

from difflab.callbacks.evaluation import Evaluation
from difflab.callbacks.parts import Parts
from difflab.lit import Diffusion
from difflab.metrics.protocol import lines
from difflab.pixels import grid, save_gif
from difflab.result import write_result
from difflab.tracking import Recorder


def finish(module: Diffusion, parts: Parts, recorder: Recorder) -> None:
    """Write and print them; the figures were measured when training ended."""
    picture = parts.samples.write(module)
    film = _film(module, parts, recorder)
    figures = parts.evaluation.final if parts.evaluation else []
    write_result(recorder, figures, module.nimg, parts.throughput.session.per_second or None)
    if parts.evaluation:
        print(*lines(figures), sep="\n")
        print(_figures_cost(parts.evaluation, recorder))
    print(f"samples: {picture}\nfilm: {film}")


def _figures_cost(evaluation: Evaluation, recorder: Recorder) -> str:
    time, left_out = evaluation.time, evaluation.left_out
    share = f"figures while training took {100 * time.spent / recorder.wall_s:.1f} % of the time"
    more = f" (at most {100 * time.share:g} %: {left_out} left out; callbacks.evaluation.share=... allows more)"
    return share + (more if left_out else "")


def _film(module: Diffusion, parts: Parts, recorder: Recorder) -> Path:
    path = recorder.run.samples / "reverse.gif"
    with parts.ema.applied(module):
        frames = parts.samples.generation.film(module.denoiser, parts.samples.seed, range(16), module.device)
        save_gif(path, [grid(f, scale=4) for f in frames], ms=120)
    recorder.picture(module.nimg, "samples/reverse", path)
    return path
