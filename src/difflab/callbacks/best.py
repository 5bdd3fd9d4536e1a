"""The best averaged weights of a run, by a figure measured while it trains."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from difflab.callbacks.checkpoint import WholeFiles
from difflab.callbacks.ema import EmaWeights
from difflab.errors import DifflabError
from difflab.metrics.directions import HIGHER
from difflab.metrics.protocol import Figure, differences_of_one_run, in_words
from difflab.runs.checkpoints import load_checkpoint
from difflab.tracking import Recorder

KINDS = ("proxy", "full")


class Best:
    """Keeps checkpoints/best.ckpt: the average with the best `figure` of the evaluations of one kind.

    The file is all there is to remember, so a kill or a resume loses nothing. A figure of another protocol than the
    one in the file can't be compared with it, and begins anew.

    Raises:
        DifflabError: a figure or a kind that does not exist.
    """

    def __init__(self, ema: EmaWeights, recorder: Recorder, figure: str | None, of: str) -> None:
        if figure is not None and figure not in HIGHER:
            raise DifflabError(f"callbacks.best.figure={figure}: it is one of {', '.join(HIGHER)}, or null")
        if of not in KINDS:
            raise DifflabError(f"callbacks.best.of={of}: evaluations are of the kinds {' and '.join(KINDS)}")
        self.ema, self.recorder, self.figure, self.of = ema, recorder, figure, of
        self._said = False

    def counts(self, kind: str) -> bool:
        """Whether figures of this kind choose."""
        return self.figure is not None and kind == self.of

    def consider(self, module: Any, kind: str, figures: Sequence[Figure], name_of: Callable[[str], str]) -> None:
        """Keep the module's average if its figure is the best so far; ties keep the earlier one, NaN none."""
        if self.figure is None or not self.counts(kind):
            return
        found = {figure.name: figure for figure in figures}.get(name_of(self.figure))
        if found is None:
            self._say_that_there_is_none(kind, figures, name_of(self.figure))
        elif math.isfinite(found.value) and self._beats(found, self.held()):
            contents: dict[str, Any] = {"nimg": module.nimg, "figure": found.to_json()}
            self.ema.on_save_checkpoint(module.trainer, module, contents)
            WholeFiles().save_checkpoint(contents, self.recorder.run.best)
            self.recorder.log(module.nimg, {f"best/{found.name}": found.value})

    def held(self) -> Figure | None:
        """The figure of best.ckpt, if there is one."""
        path = self.recorder.run.best
        return Figure.from_json(load_checkpoint(path)["figure"]) if path.is_file() else None

    def _beats(self, found: Figure, held: Figure | None) -> bool:
        assert self.figure is not None
        if held is None:
            return True
        if differing := differences_of_one_run(held, found):
            print(f"best.ckpt begins anew: {found.name} is made otherwise now ({in_words(differing)})")
            return True
        return found.value > held.value if HIGHER[self.figure] else found.value < held.value

    def _say_that_there_is_none(self, kind: str, figures: Sequence[Figure], name: str) -> None:
        if not self._said:
            print(f"warning: no best.ckpt: the {kind} figures are {', '.join(f.name for f in figures)}, not {name}")
        self._said = True
