"""Vision transformers of two layers with random weights, in the folders that `transformers` writes."""

from pathlib import Path

import torch
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Dinov2Config,
    Dinov2Model,
)
from transformers.utils import logging

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 14}
VISION = {**SMALL, "intermediate_size": 64, "image_size": 56}


def dinov2(folder: Path, pixels: int = 224) -> Path:
    return _saved(folder, lambda: Dinov2Model(Dinov2Config(**SMALL, image_size=pixels)))


def clip(folder: Path) -> Path:
    """A whole CLIP, text encoder and all, as OpenAI's are published."""
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(vision_config=VISION, text_config={**text, "vocab_size": 100}, projection_dim=16)
    return _saved(folder, lambda: CLIPModel(config))


def clip_vision(folder: Path) -> Path:
    """The picture half alone."""
    return _saved(folder, lambda: CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION, projection_dim=16)))


def _saved(folder, make):
    logging.disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = make()
        for parameter in net.parameters():  # the library's own start is too small to tell tokens apart
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.2)
    net.save_pretrained(folder)
    return folder
