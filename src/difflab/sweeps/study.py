"""The study of a search, a database in the sweep folder: it outlives the sweep, and is gone on with."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from difflab.errors import DifflabError
from difflab.metrics.directions import HIGHER
from difflab.rng import fold

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial


def load_optuna() -> Any:
    """Raises DifflabError where it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise DifflabError(
            "search=optuna needs Optuna: pip install 'difflab[search]', or name the values to try and leave search out"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def study_at(path: Path, cfg: DictConfig) -> "Study":
    """The study in a file, new or not, by search=optuna's settings."""
    optuna = load_optuna()
    study: Study = optuna.create_study(
        storage=f"sqlite:///{path}",
        study_name="difflab",
        direction="maximize" if HIGHER[cfg.figure] else "minimize",
        pruner=optuna.pruners.MedianPruner(cfg.startup_trials, cfg.warmup_nimg),
        load_if_exists=True,
    )
    return study


def sampler(seed: int, number: int) -> Any:
    """Seeded anew for each trial, so that a study that was cut off asks for the same ones as one that was not."""
    return load_optuna().samplers.TPESampler(seed=fold(seed, number) % 2**32)


def cut_off(study: "Study") -> "list[FrozenTrial]":
    """Trials that a sweep which ended left open."""
    return study.get_trials(deepcopy=False, states=(load_optuna().trial.TrialState.RUNNING,))


def best_trial(study: "Study") -> "FrozenTrial | None":
    """None where none has finished."""
    finished = study.get_trials(deepcopy=False, states=(load_optuna().trial.TrialState.COMPLETE,))
    return study.best_trial if finished else None
