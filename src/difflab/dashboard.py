"""difflab dashboard: the project's W&B workspace as code, saved there or written as JSON."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from difflab.errors import DifflabError
from difflab.files import replacing

if TYPE_CHECKING:
    import wandb_workspaces.workspaces


def main(cfg: DictConfig) -> None:
    """Print in one line whether the workspace was saved, and where, or written."""
    _check_installed()
    import wandb

    if cfg.out is None:
        wandb.setup(wandb.Settings(silent=True))
        if wandb.login(prompt=False, verify=False):
            print(f"dashboard: {save(cfg)}")
            return
    path = Path(cfg.out or f"outputs/dashboard/{cfg.view}.json")
    why = "" if cfg.out else " (no key is found: `wandb login`, then again, saves it at W&B)"
    with replacing(path) as temporary:
        temporary.write_text(as_json(cfg))
    print(f"dashboard: {path}{why}")


def as_json(cfg: DictConfig) -> str:
    """What W&B would be sent; the same for the same settings."""
    spec = _workspace(cfg, cfg.entity or "")._to_model().spec
    return str(spec.model_dump_json(by_alias=True, exclude_none=True, indent=2)) + "\n"


def save(cfg: DictConfig) -> str:
    """Save the view at W&B in the place of an earlier one of this name; returns its address.

    Raises:
        DifflabError: the server does not take it.
    """
    import wandb
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError

    try:
        workspace = _workspace(cfg, cfg.entity or str(wandb.Api().default_entity))
        workspace._internal_id = _saved_before(workspace)
        workspace.save()
    except (wandb.Error, WandbApiFailedError, ValueError, OSError) as error:
        raise DifflabError(
            f"entity={cfg.entity} project={cfg.project}: W&B does not save the workspace there "
            f"({' '.join(str(error).split())[:200]}): train a run online first, or write a file with out=dashboard.json"
        ) from error
    return str(workspace.url)


def _workspace(cfg: DictConfig, entity: str) -> "wandb_workspaces.workspaces.Workspace":
    import wandb_workspaces.workspaces as ws

    from difflab.trackers.dashboard_sections import sections

    with _repeatable():
        workspace = ws.Workspace(
            entity=entity,
            project=cfg.project,
            name=cfg.view,
            sections=sections(cfg.figure),
            settings=ws.WorkspaceSettings(x_axis="nimg", max_runs=20),
        )
    workspace._internal_name = f"nw-{cfg.view}-v"  # as the view's address has it; a random one would save it anew
    return workspace


def _saved_before(workspace: "wandb_workspaces.workspaces.Workspace") -> str:
    """The id of the view of this name; "" where there is none."""
    from wandb_workspaces.workspaces import Workspace

    address = f"https://any/{workspace.entity}/{workspace.project}?nw={workspace.name}"
    try:
        return str(Workspace.from_url(address)._internal_id)
    except ValueError:  # no such view, or no such project, which saving will say
        return ""


@contextmanager
def _repeatable() -> Iterator[None]:
    """Within, the panels' random names are the same each time."""
    before = random.getstate()
    random.seed(0)
    try:
        yield
    finally:
        random.setstate(before)


def _check_installed() -> None:
    try:
        import wandb_workspaces.workspaces  # noqa: F401
    except ModuleNotFoundError as error:
        raise DifflabError(
            "dashboard needs the package `wandb-workspaces`: install it with `pip install 'difflab[dashboard]'`"
        ) from error
