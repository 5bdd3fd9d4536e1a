"""Samplers: from noise to pictures in (alpha, sigma) alone; a prime (here `alpha_`) marks the next node.

Each is a generator of its steps, so that films and callbacks look on; `run` goes to the end. Noise comes in
as a callable (see rng.SampleNoise), and a deterministic sampler never draws. Published samplers that are the same
function with other numbers are files of conf/sampler/, such as Euler's.
"""

from difflab.samplers.adaptive import adaptive, is_adaptive
from difflab.samplers.ancestral import ddpm
from difflab.samplers.base import Noise, Sampler, Step, ddim_step, diffuse, euler, last, pure_noise, run
from difflab.samplers.multistep import deis, dpmpp_2m, dpmpp_3m, dpmpp_sde, unipc
from difflab.samplers.one_step import ddim, heun

__all__ = [
    "Noise",
    "Sampler",
    "Step",
    "adaptive",
    "ddim",
    "ddim_step",
    "ddpm",
    "deis",
    "diffuse",
    "dpmpp_2m",
    "dpmpp_3m",
    "dpmpp_sde",
    "euler",
    "heun",
    "is_adaptive",
    "last",
    "pure_noise",
    "run",
    "unipc",
]
