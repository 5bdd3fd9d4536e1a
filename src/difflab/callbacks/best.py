"""The best averaged weights of a run, by a figure measured while it trains."""

import math
from typing import Any

from difflab.callbacks.checkpoint import WholeFiles
from difflab.callbacks.ema import EmaWeights
from difflab.checkpoints import load_checkpoint
from difflab.errors import DifflabError
from difflab.metrics.protocol import Figure, differences, in_words
from difflab.tracking import Recorder

# By their names in every extractor's figures: whether a higher value is the better one.
HIGHER = {
    "fd": False, "fd_infinity": False, "kid": False, "cmmd": False,
    "inception_score": True, "precision": True, "recall": True, "density": True, "coverage": True,
}  # fmt: skip
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

    def consider(self, module: Any, kind: str, found: Figure | None) -> None:
        """Keep the module's average if `found`, its figure, is the best so far; ties keep the earlier one."""
        if found is None or kind != self.of or not module.trainer.is_global_zero or math.isnan(found.value):
            return
        held = self.held()
        if held is not None and (differing := differences(held, found)):
            print(f"best.ckpt begins anew: {found.name} is measured otherwise now ({in_words(differing)})")
            held = None
        if held is None or self._better(found, held):
            contents: dict[str, Any] = {"nimg": module.nimg, "figure": found.to_json()}
            self.ema.on_save_checkpoint(module.trainer, module, contents)
            WholeFiles().save_checkpoint(contents, self.recorder.run.best)

    def held(self) -> Figure | None:
        """The figure of best.ckpt, if there is one."""
        path = self.recorder.run.best
        return Figure.from_json(load_checkpoint(path)["figure"]) if path.is_file() else None

    def _better(self, found: Figure, held: Figure) -> bool:
        assert self.figure is not None
        return found.value > held.value if HIGHER[self.figure] else found.value < held.value
