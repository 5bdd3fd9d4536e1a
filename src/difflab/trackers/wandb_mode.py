"""Whether a W&B run is online: decided at the start, said in a line, without a question."""

import os
import ssl
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import urlopen

from omegaconf import DictConfig

from difflab.errors import DifflabError

PROBE_SECONDS = 5.0


def mode_of(logger: DictConfig) -> str:
    """ "online" where a key is found and its server answers, else "offline".

    Raises DifflabError where logger.mode=online and it is not so.
    """
    if logger.mode == "offline":
        return "offline"
    import wandb

    why = _forbidden() or _without_key() or silence_of(str(wandb.setup().settings.base_url))
    if why is None:
        return "online"
    begin_offline(why, logger)
    return "offline"


def begin_offline(why: str, logger: DictConfig) -> None:
    """Say why. Raises DifflabError where logger.mode=online asks for more."""
    if logger.mode == "online":
        raise DifflabError(f"logger.mode=online, but {why}; logger.mode=auto goes on offline")
    print(f"W&B offline: {why}")


def in_words(error: BaseException) -> str:
    """The first line of what wandb says."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _forbidden() -> str | None:
    """What the environment says against it."""
    mode = os.environ.get("WANDB_MODE", "online")
    return None if mode in ("online", "run", "shared") else f"WANDB_MODE={mode}"


def _without_key() -> str | None:
    """Why there is no key to use; None where there is one."""
    import wandb

    try:
        found = wandb.login(prompt=False, verify=False)
    except wandb.Error as error:
        return f"the key is not one ({in_words(error)})"
    return None if found else "no key is found (`wandb login` sets one)"


def silence_of(url: str) -> str | None:
    """Why nothing answers there; None where anything does. wandb itself would try again for a minute and a half."""
    try:
        urlopen(url, timeout=PROBE_SECONDS).close()
    except (HTTPError, HTTPException):
        return None
    except OSError as error:
        reason = getattr(error, "reason", error)
        return None if isinstance(reason, ssl.SSLError) else f"{url} does not answer ({reason})"
    return None
