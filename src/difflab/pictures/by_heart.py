"""What a network would say that had learned its training pictures by heart."""

import torch
from jaxtyping import Float
from torch import Tensor

from difflab.denoiser import Denoise, Pictures
from difflab.oracles import empirical


def by_heart(images: Float[Tensor, "n c h w"]) -> Denoise:
    """E[x0 | x] over these pictures, the exact minimum of every loss on them; a row of x at a time to save memory."""
    exact = empirical(images)

    def denoise(x: Pictures, alpha: Tensor, sigma: Tensor) -> Pictures:
        alphas, sigmas = (a.reshape(-1, 1).expand(len(x), 1) for a in (alpha, sigma))
        rows = zip(x.split(1), alphas, sigmas, strict=True)
        return torch.cat([exact(row, a, s) for row, a, s in rows])

    return denoise
