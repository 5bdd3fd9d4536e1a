"""Jobs on a cluster, through submitit: each in its queue, its state asked for, its results in the same folders."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from difflab.errors import DifflabError
from difflab.files import read_json, write_json
from difflab.runs.directory import Run
from difflab.sweeps.environment import environment_of_a_job, threads_of_a_job
from difflab.sweeps.folder import LOG, Job
from difflab.sweeps.processes import COMMAND, started


class Submitit:
    """Submits jobs, or finds those again that a sweep which was killed has left in the queue.

    Raises DifflabError without submitit, and for a cluster that is not here.
    """

    def __init__(self, cfg: DictConfig) -> None:
        try:
            import submitit
        except ImportError as error:
            raise DifflabError(
                "launcher=slurm needs submitit: pip install 'difflab[slurm]', or leave launcher out to train here"
            ) from error
        if cfg.cluster == "slurm" and shutil.which("srun") is None:
            raise DifflabError(
                "launcher=slurm: there is no srun here: start the sweep where jobs are submitted, or try it out on "
                "this machine with launcher.cluster=local"
            )
        self.submitit, self.cfg = submitit, cfg

    def start(self, job: Job, arguments: Sequence[str], slot: int, devices: int) -> "Submitted":
        if (left := self._left_in_the_queue(job)) is not None:
            return Submitted(left, job)
        folder = job.path.parent.parent / "submitit"
        folder.mkdir(exist_ok=True)
        executor = self.submitit.AutoExecutor(folder, cluster=self.cfg.cluster)
        executor.update_parameters(**self._parameters(f"{folder.parent.name}-{job.number:03d}"))
        threads = threads_of_a_job(1, devices, of=self.cfg.cpus)
        submitted = executor.submit(Work(job.path, COMMAND, arguments, threads))
        write_json(_ticket(job), {"cluster": self.cfg.cluster, "id": submitted.job_id, "folder": str(folder)})
        return Submitted(submitted, job)

    def _parameters(self, name: str) -> dict[str, Any]:
        c = self.cfg
        more = {"slurm_additional_parameters": OmegaConf.to_container(c.more)} if c.more else {}
        partition = {} if c.partition is None else {"slurm_partition": c.partition}
        sizes = {"timeout_min": c.timeout_min, "cpus_per_task": c.cpus, "gpus_per_node": c.gpus, "mem_gb": c.mem_gb}
        return {"name": name, **sizes, **partition, **more}

    def _left_in_the_queue(self, job: Job) -> Any | None:
        """The job that waits or runs on the cluster, though its sweep was killed."""
        if self.cfg.cluster != "slurm" or not _ticket(job).exists():
            return None
        ticket = read_json(_ticket(job))
        if ticket["cluster"] != "slurm":
            return None
        left: Any = self.submitit.SlurmJob(ticket["folder"], ticket["id"])
        return None if left.done(force_check=True) else left


class Submitted:
    """A job that a cluster has."""

    def __init__(self, submitted: Any, job: Job) -> None:
        self.submitted, self.job = submitted, job

    def poll(self) -> int | None:
        if not self.submitted.done():
            return None
        try:
            return int(self.submitted.result())
        except Exception as error:  # the cluster ended it, or it could not even begin
            with self.job.log.open("a") as log:
                log.write(f"\ndifflab: the cluster has ended it: {' '.join(str(error).split())[:200]}\n")
            return 1

    def stop(self) -> None:
        self.submitted.cancel()

    def kill(self) -> None:
        self.submitted.cancel()


class Work:
    """What runs on the cluster: the job's own process, ended and queued again where time runs out."""

    def __init__(self, path: Path, program: Sequence[str], arguments: Sequence[str], threads: int) -> None:
        self.path, self.program, self.arguments, self.threads = path.resolve(), program, list(arguments), threads
        self.child: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        begun = Run(self.path).checkpoint.exists()  # before it was queued again
        arguments = ["train", f"resume={self.path}"] if begun else self.arguments
        with (self.path / LOG).open("ab") as log:
            self.child = started([*self.program, *arguments], environment_of_a_job(self.threads), log.fileno())
        try:
            return self.child.wait()
        except KeyboardInterrupt:  # how submitit ends what it started itself
            return self._end()

    def checkpoint(self) -> Any:
        """submitit calls it when time is nearly over, and queues what it returns."""
        import submitit

        self._end()
        return submitit.helpers.DelayedSubmission(Work(self.path, self.program, self.arguments, self.threads))

    def _end(self) -> int:
        assert self.child is not None
        self.child.terminate()
        return self.child.wait()


def _ticket(job: Job) -> Path:
    return job.path / "submitted.json"
