"""What an autoencoder is trained on: pictures that come back, and latents that are cheap to name."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from difflab.errors import DifflabError
from difflab.latents.convolutional import ConvolutionalKL


class ReconstructionLoss(NamedTuple):
    per_sample: Float[Tensor, " b"]  # its mean is what is minimised
    mse: Float[Tensor, " b"]  # mean over c h w, pixels in [-1, 1], without gradient
    nats: Float[Tensor, " b"]  # of the latents, divided by c h w, without gradient


class Reconstruction(nn.Module):
    """Mean squared error + kl * KL(q(z | x) || N(0, 1)) / (c h w): a VAE (1312.6114) whose decoder has the variance
    kl / 2. No perceptual or adversarial loss: what the error averages over comes back blurred.
    """

    def __init__(self, autoencoder: ConvolutionalKL, kl: int | float) -> None:
        super().__init__()
        if kl < 0:
            raise DifflabError(f"objective.kl={kl}: the weight of the latents' nats is 0 or more, such as 1.0e-4")
        self.autoencoder, self.kl = autoencoder, kl

    def forward(self, x0: Float[Tensor, "b c h w"], generator: torch.Generator) -> ReconstructionLoss:
        """All randomness comes from `generator`, on the device of x0."""
        mean, logvar = self.autoencoder.posterior(x0)
        eps = torch.randn(mean.shape, generator=generator, device=x0.device, dtype=x0.dtype)
        back = self.autoencoder.decode(mean + (logvar / 2).exp() * eps)
        mse = (back - x0).square().flatten(1).mean(1)
        nats = (mean.square() + logvar.exp() - 1 - logvar).flatten(1).sum(1) / 2 / x0[0].numel()
        return ReconstructionLoss(mse + self.kl * nats, mse.detach(), nats.detach())
