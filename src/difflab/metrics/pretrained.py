"""Models in the format of the `transformers` library: a folder with config.json and weights, or the hub's.

The weights are read as tensors, from safetensors or under torch's `weights_only`; no code of the folder is run.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from difflab.errors import DifflabError
from difflab.metrics import weights

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")


class Reader(NamedTuple):
    """What reads with a model, for messages."""

    option: str
    """Such as "metrics=clip"."""
    node: str
    """Whose `model` and `folder` say which one, such as "metrics.extractor"."""
    instead: str
    """The option that needs no download."""


def extractor(name: str) -> Reader:
    """The extractor metrics=`name`."""
    return Reader(f"metrics={name}", "metrics.extractor", "metrics=efficientnet_lite0")


@dataclass(frozen=True)
class Source:
    """Where a model comes from: a folder, or (folder None) the hub by its name `owner/name`, or its cache here."""

    reader: Reader
    model: str
    folder: str | Path | None

    def file(self, *names: str) -> Path:
        """The first of `names` that exists.

        Raises:
            DifflabError: none does, and it cannot be fetched.
        """
        if self.folder is None:
            return self._of_the_hub(names)
        found = [path for name in names if (path := Path(self.folder).expanduser() / name).is_file()]
        if not found:
            raise DifflabError(
                f"{self.reader.node}.folder={self.folder} has no {' or '.join(names)}: "
                f"give the folder that {self._fetch}"
            )
        return found[0]

    def _of_the_hub(self, names: Sequence[str]) -> Path:
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import EntryNotFoundError

        for name in names:
            if isinstance(cached := try_to_load_from_cache(self.model, name), str):
                return Path(cached)
        self._check_reachable()
        for name in names:
            try:
                return Path(hf_hub_download(self.model, name))
            except EntryNotFoundError:
                continue
            except Exception as error:  # its errors have no common ancestor
                raise self._missing(error) from None
        raise DifflabError(
            f"{self.model} on the hub has no {' or '.join(names)}: give another {self.reader.node}.model"
        )

    def _check_reachable(self) -> None:
        """One short question: by itself the library asks six times, for 23 s, before it gives up."""
        from huggingface_hub import HfApi
        from huggingface_hub.constants import HF_HUB_OFFLINE

        try:
            if HF_HUB_OFFLINE:
                raise ConnectionError("HF_HUB_OFFLINE is set")
            HfApi().model_info(self.model, timeout=10)
        except Exception as error:  # its errors have no common ancestor
            raise self._missing(error) from None

    def _missing(self, error: Exception) -> DifflabError:
        reason = " ".join(str(error).split())[:150]
        return DifflabError(
            f"{self.model}, which {self.reader.option} reads with, is not here and cannot be fetched ({reason}): "
            f"give {self.reader.node}.folder=DIR that {self._fetch}, or use {self.reader.instead}"
        )

    @property
    def _fetch(self) -> str:
        return f"`hf download {self.model} --local-dir DIR` made elsewhere"


def library(reader: Reader) -> Any:
    """The `transformers` package.

    Raises:
        DifflabError: it is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise DifflabError(
            f"{reader.option} needs the package `transformers`: install it with "
            f"`pip install 'difflab[transformers]'`, or use {reader.instead}"
        ) from None
    return transformers


def read_config(source: Source, kinds: Sequence[str]) -> dict[str, Any]:
    """config.json as it is.

    Raises:
        DifflabError: it cannot be had or read, or its model is none of `kinds`.
    """
    path = source.file(CONFIG)
    try:
        config = json.loads(path.read_text())
        kind = config["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise DifflabError(f"{path} is not the configuration of a model ({error}): fetch it again") from None
    if kind not in kinds:
        raise DifflabError(f"{path} describes a {kind}, {source.reader.option} reads {' or '.join(kinds)}")
    return dict(config)


def parsed(source: Source, kind: Any, raw: dict[str, Any]) -> Any:
    """The configuration as an object of the library's class `kind`.

    Raises:
        DifflabError: a value in it that cannot be.
    """
    try:
        with _quiet(library(source.reader)):
            return kind.from_dict(raw)
    except Exception as error:  # its errors have no common ancestor
        reason = " ".join(str(error).split())[:150]
        raise DifflabError(f"{source.file(CONFIG)} is not the configuration of a model ({reason})") from None


def load(
    source: Source, architecture: Any, config: Any, part: Callable[[str], bool] = lambda name: True, sha256: str = ""
) -> tuple[Any, str]:
    """The model of the library's class `architecture`, and the hash of its weights file.

    part: which of the file's tensors belong to it, by name. sha256: how the hash has to begin.
    Raises DifflabError: the file cannot be had or read, or its tensors are not those of `config`.
    """
    path = source.file(*WEIGHTS)
    state, digest = weights.load(path, sha256)
    state = {name: tensor for name, tensor in state.items() if part(name)}
    try:
        with _quiet(library(source.reader)):
            model, report = architecture.from_pretrained(
                None, config=config, state_dict=state, output_loading_info=True
            )
    except RuntimeError:
        raise DifflabError(
            f"{path} has tensors of other shapes than {CONFIG} beside it says: fetch both again"
        ) from None
    _check_complete(path, report)
    return model.float(), digest


def _check_complete(path: Path, report: dict[str, Any]) -> None:
    for kind, text in (("missing_keys", "lacks"), ("unexpected_keys", "has the unknown")):
        if report[kind]:
            raise DifflabError(
                f"{path} {text} {sorted(report[kind])[0]} (and {len(report[kind]) - 1} more): "
                f"it holds the weights of another model than {CONFIG} beside it says"
            )


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without its bar and its table: what they say of is an error here."""
    logging = transformers.utils.logging
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def frozen(net: nn.Module) -> nn.Module:
    """In eval mode, without gradients."""
    return net.eval().requires_grad_(False)
