"""Text encoders of one layer with random weights, in the folders that `transformers` and `tokenizers` write."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.utils import logging

WORDS = ["[pad]", "[begin]", "[end]", "[unknown]", "cat", "dog", "crying", "a", "noto", "style", ","]
TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
CLIP_TEXT = {**TEXT, "vocab_size": len(WORDS), "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 16}
VISION = {**TEXT, "patch_size": 14, "image_size": 28}


def bert(folder: Path) -> Path:
    config = BertConfig(**TEXT, vocab_size=len(WORDS))
    return _saved(folder, lambda: BertModel(config))


def clip(folder: Path) -> Path:
    """A whole CLIP, picture half and all, as OpenAI's are published."""
    config = CLIPConfig(text_config=CLIP_TEXT, vision_config=VISION, projection_dim=16)
    return _saved(folder, lambda: CLIPModel(config))


def clip_text(folder: Path) -> Path:
    """The text half alone, as in the folder of a Stable Diffusion."""
    return _saved(folder, lambda: CLIPTextModel(CLIPTextConfig(**CLIP_TEXT)))


def t5(folder: Path) -> Path:
    """A whole T5, decoder and all, as Google's are published."""
    config = T5Config(d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2, vocab_size=len(WORDS))
    return _saved(folder, lambda: T5ForConditionalGeneration(config))


def _saved(folder: Path, make: Callable[[], Any], seed: int = 0) -> Path:
    logging.disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = make()
        for parameter in net.parameters():  # the library's own start is too small to tell tokens apart
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.2)
    net.save_pretrained(folder)
    _tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def _tokenizer() -> Tokenizer:
    """Words to numbers between a mark of the beginning and one of the end, padded and cut by its own rules."""
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[unknown]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[begin] $A [end]", special_tokens=[("[begin]", 1), ("[end]", 2)]
    )
    tokenizer.enable_padding(length=12, pad_id=0, pad_token="[pad]")
    tokenizer.enable_truncation(12)
    return tokenizer
