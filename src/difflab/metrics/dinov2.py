"""DINOv2, the network of `fd_dinov2`: trained without labels, it sees what people see better than Inception does."""

from typing import ClassVar

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor, nn
from torch.nn.functional import interpolate

from difflab.errors import DifflabError
from difflab.metrics.extractor import Reading
from difflab.metrics.preprocess import Preprocess
from difflab.metrics.pretrained import Source, extractor, frozen, library, load, parsed, read_config

MODEL, SIZE = "facebook/dinov2-large", 224
# Features, layers and patch of it, the ViT-L/14 that published FD-DINOv2 are counted with.
PUBLISHED = (1024, 24, 14)
OFFSET = 0.1


class DinoV2:
    """The normalised class token of DINOv2 (Oquab et al. 2023, https://arxiv.org/abs/2304.07193).

    As Stein et al. 2023 (https://arxiv.org/abs/2306.04675, dgm-eval) and EDM2 count FD-DINOv2: ViT-L/14, pictures
    resized to 224x224 (bicubic, antialiased), ImageNet's mean and spread.

    Args:
        model: the name on the hub. folder: such as save_pretrained or `hf download` writes it; None: the hub, or its
            cache here. Only `facebook/dinov2-large` of its own size, at 224 pixels, counts an `fd_dinov2`; of any other
            network it is `fd_dinov2_<features>x<layers>`.
        size: pixels a side, a multiple of the patch.
        rounded: to whole levels after the resize, as Pillow and so dgm-eval do; EDM2 goes on with fractions.

    Raises:
        DifflabError: the library or the files are not here, or are not DINOv2's.
    """

    names: ClassVar[dict[str, str]] = {}  # `fd_dinov2` is its own name
    batch = 8

    def __init__(
        self,
        model: str = MODEL,
        folder: str | None = None,
        size: int = SIZE,
        rounded: bool = False,
        device: str = "cpu",
    ) -> None:
        source = Source(extractor("dinov2"), model, folder)
        transformers = library(source.reader)
        config = parsed(source, transformers.Dinov2Config, read_config(source, ["dinov2"]))
        if size < config.patch_size or size % config.patch_size:
            raise DifflabError(f"metrics.extractor.size={size} is not a multiple of the patch, {config.patch_size}")
        shape = (config.hidden_size, config.num_hidden_layers, config.patch_size)
        paper = (model, size, shape) == (MODEL, SIZE, PUBLISHED)
        self.name = "dinov2" if paper else f"dinov2_{shape[0]}x{shape[1]}"
        self.dim, self.device = config.hidden_size, torch.device(device)
        self._input = Preprocess(size, mode="bicubic", rounded=rounded)
        self.resize = self._input.rule
        net, self.weights_sha256 = load(source, transformers.Dinov2Model, config)
        places = positions(net.embeddings.position_embeddings.detach(), size // config.patch_size)
        net.embeddings.position_embeddings = nn.Parameter(places)
        self._net = frozen(net).to(self.device)

    @torch.inference_mode()
    def __call__(self, images: UInt8[Tensor, "b c h w"]) -> Reading:
        """The class token of grey (repeated into RGB on purpose) or RGB pictures."""
        return Reading(self._net(self._input(images, self.device)).pooler_output)


def positions(trained: Float32[Tensor, "1 n d"], side: int) -> Float32[Tensor, "1 m d"]:
    """Position embeddings for `side` x `side` patches, stretched as the authors' code does.

    It adds 0.1 to the side so as not to round down. From 37 to 16 patches a side, that moves what is read by up to 0.22
    of a trained patch; `transformers` leaves it out, and its features are not the published ones.
    """
    own = round((trained.shape[1] - 1) ** 0.5)
    if side == own:
        return trained
    grid = trained[:, 1:].unflatten(1, (own, own)).permute(0, 3, 1, 2)
    scale = (side + OFFSET) / own
    stretched = interpolate(grid, scale_factor=(scale, scale), mode="bicubic")
    return torch.cat([trained[:, :1], stretched.flatten(2).transpose(1, 2)], dim=1)
