"""CLIP's picture embeddings, what CMMD is counted with."""

from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn.functional import normalize

from difflab.metrics.extractor import Reading
from difflab.metrics.preprocess import Preprocess
from difflab.metrics.pretrained import Source, extractor, frozen, library, load, parsed, read_config

MODEL = "openai/clip-vit-large-patch14-336"
# Features, layers, patch, pixels and embedding of it.
PUBLISHED = (1024, 24, 14, 336, 768)
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class Clip:
    """Embeddings of CLIP's picture encoder (Radford et al. 2021, https://arxiv.org/abs/2103.00020), of length 1.

    As CMMD (Jayasumana et al. 2024, https://arxiv.org/abs/2401.09603) reads them: ViT-L/14 at 336 pixels, the central
    square resized as Pillow does (bicubic, antialiased, rounded to levels), the projection brought to length 1.

    Args:
        model: the name on the hub. folder: such as save_pretrained or `hf download` writes it; None: the hub, or its
            cache here. Only `openai/clip-vit-large-patch14-336` of its own size counts a `cmmd`.

    Raises:
        DifflabError: the library or the files are not here, or are not CLIP's.
    """

    batch = 4

    def __init__(self, model: str = MODEL, folder: str | None = None, device: str = "cpu") -> None:
        source = Source(extractor("clip"), model, folder)
        transformers = library(source.reader)
        config = _vision(transformers, source)
        self.dim, self.device = config.projection_dim, torch.device(device)
        shape = (config.hidden_size, config.num_hidden_layers, config.patch_size, config.image_size, self.dim)
        paper = (model, shape) == (MODEL, PUBLISHED)
        self.name = "clip" if paper else f"clip_{self.dim}x{config.num_hidden_layers}"
        self.names = {"cmmd": "cmmd"} if paper else {}
        self._input = Preprocess(config.image_size, MEAN, STD, mode="bicubic", square=True, rounded=True)
        self.resize = self._input.rule
        net, self.weights_sha256 = load(source, transformers.CLIPVisionModelWithProjection, config, _is_vision)
        self._net = frozen(net).to(self.device)

    @torch.inference_mode()
    def __call__(self, images: UInt8[Tensor, "b c h w"]) -> Reading:
        """Embeddings of grey (repeated into RGB on purpose) or RGB pictures."""
        return Reading(normalize(self._net(self._input(images, self.device)).image_embeds))


def _vision(transformers: Any, source: Source) -> Any:
    """The picture half of a whole CLIP's configuration, or the configuration of that half alone."""
    raw = read_config(source, ["clip", "clip_vision_model"])
    if raw["model_type"] == "clip_vision_model":
        return parsed(source, transformers.CLIPVisionConfig, raw)
    whole = parsed(source, transformers.CLIPConfig, raw)
    whole.vision_config.projection_dim = whole.projection_dim
    return whole.vision_config


def _is_vision(name: str) -> bool:
    """The file of a whole CLIP holds its text encoder too; older files hold the numbers of the positions."""
    return name.startswith(("vision_model.", "visual_projection.")) and not name.endswith(".position_ids")
