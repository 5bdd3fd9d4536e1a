"""What a job's process inherits: nothing of another run's, and its share of the machine."""

import os
from collections.abc import Sequence

# Ranks, ports and identities of another run; a job starts its own ranks, also inside a SLURM task.
_FOREIGN = (
    "LOCAL_RANK", "RANK", "GROUP_RANK", "NODE_RANK", "ROLE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR",
    "MASTER_PORT", "DIFFLAB_RUN", "PL_", "TORCHELASTIC_", "SLURM_", "SUBMITIT_", "WANDB_RUN", "WANDB_NAME",
    "WANDB_SWEEP", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_DIR", "WANDB_RESUME", "WANDB_SERVICE",
    "WANDB_NOTES", "WANDB_TAGS",
)  # fmt: skip
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))


def threads_of_a_job(at_once: int, devices: int = 1, of: int | None = None) -> int:
    """Its share of the cores (`of`: so many), at least 1; never more than the user's own OMP_NUM_THREADS."""
    share = max(1, (of or cores()) // (at_once * devices))
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(asked)) if asked.isdecimal() and int(asked) else share


def environment_of_a_job(threads: int, gpus: Sequence[str] | None = None) -> dict[str, str]:
    """The environment variables; gpus: which of them it sees, None: as it is."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
    mine = {"PYTHONUNBUFFERED": "1"} | {name: str(threads) for name in _THREADS}
    return kept | mine | ({} if gpus is None else {"CUDA_VISIBLE_DEVICES": ",".join(gpus)})


def gpus_of_a_slot(slot: int, devices: int, visible: Sequence[str]) -> list[str]:
    """The GPUs of the job in a slot: slots take turns, so that jobs side by side share one only if they must."""
    return [visible[(slot * devices + i) % len(visible)] for i in range(min(devices, len(visible)))]
