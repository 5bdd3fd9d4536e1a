"""The end of a W&B run, within a time: wandb's own limit does not hold while it uploads an artifact to nobody."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any


def finish_within(seconds: float, run: Any, exit_code: int) -> None:
    """Finish a W&B run; what it has logged is on disk whatever happens.

    Raises TimeoutError where its server has not taken everything by then.
    """
    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(run.finish, exit_code=exit_code)
        try:
            ending.result(seconds)
        except TimeoutError:
            _end_process()
            raise


def _end_process() -> None:
    """End wandb's own process, which would otherwise hold up the end of ours; another run starts another."""
    import wandb

    process = wandb.setup().assert_service()._proc
    if process is not None:
        process._process.kill()
    with suppress(OSError, SystemExit):  # there is nobody to say goodbye to
        wandb.teardown()
