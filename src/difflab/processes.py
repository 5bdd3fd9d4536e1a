"""Several processes on one machine that work for one command; they meet in files, so none can wait for ever.

The first one starts the others itself (trainer.devices=2). Where torchrun has started them all, they find each other
through its variables, by gloo.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from difflab.errors import DifflabError

Check = Callable[[], None]
"""Raises where the work makes no sense any more, since another process is gone."""
Own = Callable[[int, int, Check], None]
"""Does this process's share: (rank, world, check)."""
Work = Callable[[DictConfig, int, int, Check], None]
"""Does the share of another, from the configuration alone: a function of a module, found there by its name."""
PATIENCE = timedelta(days=7)  # of those that are done, under torchrun, which ends all when one fails


def world_of(cfg: DictConfig) -> int:
    """Processes in all: torchrun's, or trainer.devices."""
    return int(os.environ["WORLD_SIZE"]) if by_torchrun() else int(cfg.trainer.devices or 1)


def rank_here() -> int:
    """0, but under torchrun."""
    return int(os.environ["RANK"]) if by_torchrun() else 0


def device_of(trainer: DictConfig, rank: int) -> torch.device:
    """The GPU of this process in a GPU run, else the processor.

    Raises:
        DifflabError: fewer GPUs than processes.
    """
    if trainer.accelerator != "gpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    rank = int(os.environ.get("LOCAL_RANK", rank))
    if rank >= torch.cuda.device_count():
        raise DifflabError(
            f"trainer.devices={trainer.devices}: {torch.cuda.device_count()} GPUs are here, one a process"
        )
    return torch.device("cuda", rank)


def share(own: Own, work: Work, cfg: DictConfig) -> None:
    """Have the work done by all processes, this one's share by `own`; returns when all are done.

    Raises:
        DifflabError: one of the others has failed.
    """
    world = world_of(cfg)
    if by_torchrun():
        _meet(own, world)
    elif world == 1:
        own(0, 1, lambda: None)
    else:
        with _threads_shared(world), Helpers(work, cfg, world) as helpers:
            own(0, world, helpers.check)
            helpers.wait()


class Helpers:
    """The processes 1..world-1, started on entry and ended on exit whatever happens."""

    def __init__(self, work: Work, cfg: DictConfig, world: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        plain = OmegaConf.to_container(cfg, resolve=True)
        ranks = range(1, world)
        self._all: list[BaseProcess] = [
            spawn.Process(target=_help, args=(work, plain, rank, world, os.getpid()), daemon=True) for rank in ranks
        ]

    def __enter__(self) -> "Helpers":
        for process in self._all:
            process.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self._all:
            process.terminate()
            process.join()

    def check(self) -> None:
        """Raises DifflabError where one has failed."""
        for rank, process in enumerate(self._all, start=1):
            if process.exitcode not in (None, 0):
                raise DifflabError(
                    f"process {rank + 1} of {len(self._all) + 1} has stopped (exit code {process.exitcode}); what is "
                    "done is kept: start again, or set trainer.devices=1"
                )

    def wait(self) -> None:
        """Until all are done."""
        while any(process.is_alive() for process in self._all):
            self.check()
            for process in self._all:
                process.join(0.1)
        self.check()


def _help(work: Work, plain: dict[str, Any], rank: int, world: int, parent: int) -> None:
    """What a helper does; its errors are one line like the first one's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first one's affair: it ends its helpers

    def check() -> None:
        if os.getppid() != parent:
            sys.exit("difflab: the first process is gone")

    cfg = OmegaConf.create(plain)
    OmegaConf.set_struct(cfg, True)
    with _threads_shared(world):
        try:
            work(cfg, rank, world, check)
        except (DifflabError, OSError) as error:
            sys.exit(f"difflab: process {rank + 1} of {world}: {error}")


def _meet(own: Own, world: int) -> None:
    from torch import distributed

    distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        with _threads_shared(world):
            own(rank_here(), world, lambda: None)
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


@contextmanager
def _threads_shared(world: int) -> Iterator[None]:
    """Each process takes its share of the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // world))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def by_torchrun() -> bool:
    """Whether torchrun has started this process and others."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1 and "MASTER_ADDR" in os.environ
