"""What a run ends with: the film, the figures, result.json and the report."""

from dataclasses import asdict
from typing import Any

from difflab.callbacks.evaluation import Evaluation
from difflab.callbacks.parts import Parts
from difflab.lit import Diffusion
from difflab.metrics.protocol import lines
from difflab.report import reported
from difflab.runs.result import write_result
from difflab.tracking import Recorder


def finish(module: Diffusion, parts: Parts, recorder: Recorder) -> None:
    """Write and print them; the last grid and the figures were made by all ranks when training ended."""
    film = parts.film.write(module)
    figures = parts.evaluation.final if parts.evaluation else []
    more = _best(parts.evaluation) | _cost(parts.evaluation, recorder) if parts.evaluation else {}
    more |= {"band": asdict(parts.on_track.final)}
    result = write_result(recorder, figures, module.nimg, parts.throughput.session.per_second or None, more)
    recorder.tracker.finished(recorder.run, result)
    if parts.evaluation:
        print(*lines(figures), sep="\n")
        print(_in_words(parts.evaluation, recorder))
    if parts.on_track.band is not None:
        print(parts.on_track.final.text)
    print(f"samples: {parts.samples.path(module.nimg)}\nfilm: {film}")
    print(reported(recorder.run.path))


def _best(evaluation: Evaluation) -> dict[str, Any]:
    """Of best.ckpt, where one was asked for and kept."""
    held = evaluation.best.held() if evaluation.best.figure is not None else None
    return {} if held is None else {"best": {"checkpoint": "checkpoints/best.ckpt", "figure": held.to_json()}}


def _cost(evaluation: Evaluation, recorder: Recorder) -> dict[str, Any]:
    """What share of the run's time the figures took while it trained, and their seconds at its end."""
    share = evaluation.time.total / recorder.wall_s
    return {"figures_share": round(share, 4), "final_figures_s": round(evaluation.end.total, 1)}


def _in_words(evaluation: Evaluation, recorder: Recorder) -> str:
    time, left_out = evaluation.time, evaluation.left_out
    times = ", ".join(f"{kind} {n} times" for kind, n in time.times.items()) or "none"
    waited = f"; {left_out} due found no time within callbacks.evaluation.share={time.share}" if left_out else ""
    return (
        f"figures while training took {100 * time.total / recorder.wall_s:.1f} % of the time ({times}{waited}), "
        f"those of the end {evaluation.end.total:.1f} s"
    )
