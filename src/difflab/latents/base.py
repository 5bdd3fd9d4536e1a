"""What an autoencoder is to diffusion."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

Latents = Float[Tensor, "b k _h _w"]


class Autoencoder(nn.Module, ABC):
    """Pictures in [-1, 1] to fewer numbers and back.

    node: the configuration from which it is built again, as plain values.
    """

    node: Mapping[str, Any]

    @abstractmethod
    def encode(self, x: Float[Tensor, "b c h w"]) -> Latents:
        """Without chance: the mean, where the autoencoder gives a distribution."""

    @abstractmethod
    def decode(self, z: Latents) -> Float[Tensor, "b c h w"]: ...
