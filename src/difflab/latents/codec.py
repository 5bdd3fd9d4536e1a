"""What stands between pictures and diffusion: an autoencoder, and the scale of its latents."""

import json
from pathlib import Path

from jaxtyping import Float, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from difflab.config.instantiate import build
from difflab.errors import DifflabError
from difflab.files import replacing
from difflab.latents.base import Autoencoder, Latents
from difflab.nets.digest import digest_of_weights
from difflab.pixels import to_model

Channels = Float[Tensor, " k"]


class Codec(nn.Module):
    """Pictures to latents of mean 0 and deviation 1 in every channel, and back; nothing of it is trained.

    mean, std: of the autoencoder's own latents, measured on the training pictures.
    """

    mean: Channels
    std: Channels

    def __init__(self, autoencoder: Autoencoder, mean: Channels, std: Channels) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.register_buffer("mean", mean.float())
        self.register_buffer("std", std.float().clamp(min=1e-6))  # of a channel that says nothing
        self.eval().requires_grad_(False)
        self.name = f"{type(autoencoder).__name__} {digest_of_weights(self)[:8]}"

    def encode(self, pixels: UInt8[Tensor, "b c h w"]) -> Latents:
        self.to(pixels.device)
        return self.standardised(self.autoencoder.encode(to_model(pixels)))

    def standardised(self, latents: Latents) -> Latents:
        """The autoencoder's own latents, as diffusion sees them."""
        return self.standardise(latents.clone())

    def standardise(self, latents: Latents) -> Latents:
        """The same in place, of latents that may take most of the memory."""
        return latents.sub_(self.mean[:, None, None]).div_(self.std[:, None, None])

    def decode(self, latents: Latents) -> Float[Tensor, "b c h w"]:
        """Pictures in [-1, 1], or a little beyond."""
        self.to(latents.device)
        return self.autoencoder.decode(latents * self.std[:, None, None] + self.mean[:, None, None])

    def write(self, path: Path) -> None:
        """All that `read` needs, so that a run does not depend on where its autoencoder came from."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        with replacing(path) as temporary:
            save_file(tensors, temporary, {"autoencoder": json.dumps(self.autoencoder.node)})

    @staticmethod
    def read(path: Path) -> "Codec":
        """Raises DifflabError for a file that is missing or damaged."""
        try:
            with safe_open(path, "pt") as file:
                node = json.loads(file.metadata()["autoencoder"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DifflabError(
                f"{path} can't be read ({' '.join(str(error).split())}): the autoencoder of a run on latents lies "
                "beside its config.yaml; copy the run directory again, as a whole"
            ) from error
        mean, std = tensors.pop("mean"), tensors.pop("std")
        autoencoder: Autoencoder = build(node)
        autoencoder.load_state_dict({name.removeprefix("autoencoder."): tensor for name, tensor in tensors.items()})
        return Codec(autoencoder, mean, std)
