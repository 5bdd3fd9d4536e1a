"""The way to noise, twice: as a Markov chain of small steps, and in one jump."""

from collections.abc import Iterator

from torch import Tensor

from difflab.denoiser import Pictures
from difflab.pictures.levels import Ladder, Level
from difflab.samplers import Noise, diffuse


def chain(ladder: Ladder, x0: Pictures, noise: Noise) -> Iterator[tuple[Level, Pictures]]:
    """Every state from x0 on, each made of the one before and fresh noise: q(x_t | x_t-1), DDPM (2006.11239) eq. 2."""
    level, x = ladder.level(0), x0
    yield level, x
    for step in range(1, ladder.last + 1):
        before, level = level, ladder.level(step)
        x = diffuse(x, before.alpha, before.sigma, level.alpha, level.sigma, noise)
        yield level, x


def jump(x0: Pictures, eps: Pictures, level: Level) -> Pictures:
    """The closed form alpha x0 + sigma eps, DDPM eq. 4: a draw from q(x_t | x0) without the states between."""
    return level.alpha * x0 + level.sigma * eps


def guess_of_noise(x: Pictures, x0_hat: Pictures, alpha: Tensor, sigma: Tensor) -> Pictures:
    """eps_hat: what must have been added if x0_hat is the picture."""
    return (x - alpha * x0_hat) / sigma
