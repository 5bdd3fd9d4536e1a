"""A denoiser built around another one."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

from torch import Tensor

from difflab.denoiser import Denoise, Pictures

WithVariance = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(x, alpha, sigma) -> the guess of x0, and the fraction that says the variance of the step."""


class Around(ABC):
    """It has a variance where the denoiser within, `main`, has one."""

    main: Denoise

    @abstractmethod
    def __call__(self, x: Pictures, alpha: Tensor, sigma: Tensor) -> Pictures: ...

    @abstractmethod
    def around(self, main: WithVariance, x: Pictures, alpha: Tensor, sigma: Tensor) -> tuple[Pictures, Pictures]:
        """The guess and the fraction, of those of `main`."""

    @property
    def learns_variance(self) -> bool:
        return getattr(self.main, "learns_variance", hasattr(self.main, "with_variance"))

    @property
    def with_variance(self) -> WithVariance:
        main = self.main.with_variance  # type: ignore[attr-defined]  # an AttributeError is the answer of hasattr
        return partial(self.around, main)
