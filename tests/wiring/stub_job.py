"""A job that takes no time to start: it "trains" by hashing, with the lock, the rows and the files of a real run.

What it finds to do it finds as `difflab train` does; job.yaml says what it is, so its result does not depend on how
often it was cut off. train.seed=7 fails until its folder is `mended`; train.seed=5 waits half-way for a file `go`, and
so does train.seed=9 where another job has finished.
"""

import hashlib
import json
import math
import os
import re
import signal
import sys
import time
from pathlib import Path

from difflab.errors import BusyError
from difflab.runs.locks import held

STEPS = 8
stopped = False


def stop(*_: object) -> None:
    global stopped
    stopped = True


def wait_half_way(path: Path) -> None:
    waits = "train.seed=5" in path.name or ("train.seed=9" in path.name and list(path.glob("../*/result.json")))
    while waits and not (path / "go").exists() and not stopped:
        time.sleep(0.01)


def figure(path: Path) -> dict[str, object]:
    """Best at a learning rate of 1e-3, and bad for seed 9."""
    lr = float(next(re.finditer(r"optim.lr=([\d.e-]+\d)", path.name), ["", "1e-2"])[1])
    value = abs(math.log10(lr) + 3) + 10 * ("train.seed=9" in path.name)
    return {"name": "fd_efficientnet_lite0", "value": value, "error": None, "protocol": {}}


def train(path: Path) -> int:
    signal.signal(signal.SIGTERM, stop)
    checkpoint = path / "checkpoints" / "last.ckpt"
    text = (path / "job.yaml").read_text()
    step, state = json.loads(checkpoint.read_text()) if checkpoint.exists() else (0, text)
    while step < STEPS:
        step, state = step + 1, hashlib.sha256(state.encode()).hexdigest()
        if step == STEPS // 2:
            wait_half_way(path)
        with (path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({"nimg": 16 * step, "wall_s": 0.0}) + "\n")
        with (path / "figures.jsonl").open("a") as file:
            file.write(json.dumps({"nimg": 16 * step, "row": "proxy/fd", **figure(path)}) + "\n")
        checkpoint.parent.mkdir(exist_ok=True)
        part = checkpoint.with_suffix(".part")
        part.write_text(json.dumps([step, state]))
        part.replace(checkpoint)
        if stopped:
            print(f"difflab: stopped at {16 * step}")
            return 1
    (path / "result.json").write_text(json.dumps({"figures": [figure(path)], "wall_s": 1.0, "state": state}))
    return 0


def main() -> int:
    key, _, name = sys.argv[2].partition("=")
    path = Path(name) if key == "resume" else Path(name).parent
    print(
        "environment",
        sorted(set(os.environ) & {"LOCAL_RANK", "DIFFLAB_RUN", "WORLD_SIZE", "OMP_NUM_THREADS"}),
        *sys.argv,
    )
    if "seed=7" in path.name and not (path / "mended").exists():
        print("difflab: the disk is full: make room")
        return 1
    try:
        with held(path, "is trained"):
            if key == "config" and (path / "checkpoints" / "last.ckpt").exists():
                return BusyError.CODE
            return train(path)
    except BusyError as error:
        print(f"difflab: {error}")
        return BusyError.CODE


if __name__ == "__main__":
    raise SystemExit(main())
