"""How near training comes to this processor's own convolutions, and to another U-Net of equal cost.

Prints three rates measured in one run, in turn, several times (the median counts):
- the training step of the default network (forward, backward, AdamW, EMA) in images/s and GFLOP/s;
- every convolution of that network alone, channels_last, at the same shapes: forward, and forward with backward;
- the training step of denoising-diffusion-pytorch's Unet, widened until a picture costs as many GFLOP.

    .venv/bin/python bench/throughput.py
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from difflab import assemble
from difflab.config.compose import compose
from difflab.ema import Ema
from difflab.nets.cost import gflop_per_image, parameters
from difflab.rng import generator

BATCH = 64
ROUNDS = 5


def seconds(call: Callable[[], object], least: float = 1.0) -> float:
    """Seconds a call takes, over as many calls as fill `least` seconds."""
    calls, start = 0, time.perf_counter()
    while time.perf_counter() - start < least:
        call()
        calls += 1
    return (time.perf_counter() - start) / calls


def training_step(net: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    ema = Ema(net.parameters())

    def step() -> None:
        loss().backward()
        optimizer.step()
        optimizer.zero_grad()
        ema.update(net.parameters(), 0.999)

    return step


def ours(shape: tuple[int, ...]) -> tuple[nn.Module, Callable[[], None]]:
    cfg = compose("train", [])
    denoiser, objective = assemble.denoiser(cfg), assemble.objective(cfg)
    x0 = torch.randn(BATCH, *shape)
    return denoiser.net, training_step(denoiser, lambda: objective(denoiser, x0, generator(0)).per_sample.mean())


def convolutions(net: nn.Module, shape: tuple[int, ...]) -> list[tuple[nn.Conv2d, Tensor]]:
    """Every convolution of the network with an input of the shape it sees."""
    seen: list[tuple[nn.Conv2d, Tensor]] = []
    hooks = [
        m.register_forward_hook(lambda m, args, _: seen.append((m, torch.randn_like(args[0]))))
        for m in net.modules()
        if isinstance(m, nn.Conv2d)
    ]
    with torch.no_grad():
        net(torch.randn(BATCH, *shape), torch.zeros(BATCH))
    for hook in hooks:
        hook.remove()
    return [(m, x.contiguous(memory_format=torch.channels_last)) for m, x in seen]


def gflop(conv: nn.Conv2d, x: Tensor) -> float:
    return 2 * x.shape[0] * x.shape[2] * x.shape[3] * conv.weight.numel() / 1e9


def bare(layers: list[tuple[nn.Conv2d, Tensor]]) -> Callable[[], None]:
    @torch.inference_mode()
    def run() -> None:
        for conv, x in layers:
            conv(x)

    return run


def bare_training(layers: list[tuple[nn.Conv2d, Tensor]]) -> Callable[[], None]:
    inputs = [(conv, x.clone().requires_grad_()) for conv, x in layers]

    def run() -> None:
        for conv, x in inputs:
            y = conv(x)
            y.backward(y.detach())

    return run


def theirs(target: float, shape: tuple[int, ...]) -> tuple[nn.Module, Callable[[], None]]:
    """denoising-diffusion-pytorch's default U-Net at the width whose cost is nearest to `target` GFLOP."""
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet

    def build(width: int) -> nn.Module:
        return Unet(dim=width, dim_mults=(1, 2, 4), channels=shape[0], flash_attn=False)

    width = min(range(8, 97, 8), key=lambda w: abs(gflop_per_image(build(w), shape) - target))
    net = build(width)
    diffusion = GaussianDiffusion(net, image_size=shape[1])
    x0 = torch.rand(BATCH, *shape)
    return net, training_step(net, lambda: diffusion(x0))


def main() -> None:
    shape = tuple(compose("train", []).data.shape)
    net, step = ours(shape)
    cost = gflop_per_image(net, shape)
    layers = convolutions(net, shape)
    their_net, their_step = theirs(cost, shape)
    their_cost = gflop_per_image(their_net, shape)
    calls = (step, bare(layers), bare_training(layers), their_step)
    for call in calls:
        call()
    times = [[seconds(call) for call in calls] for _ in range(ROUNDS)]
    t_step, t_forward, t_both, t_theirs = (statistics.median(column) for column in zip(*times, strict=True))
    convs = sum(gflop(c, x) for c, x in layers)
    ours_rate, theirs_rate = 3 * cost * BATCH / t_step, 3 * their_cost * BATCH / t_theirs
    print(f"threads {torch.get_num_threads()}, batch {BATCH}, {'x'.join(map(str, shape))}")
    print(f"difflab     {row(cost, net, t_step, ours_rate)}")
    print(f"bare convs  forward: {convs / t_forward:.0f} GFLOP/s; training reaches {ours_rate * t_forward / convs:.0%}")
    both_rate = 3 * convs / t_both
    print(f"            forward and backward: {both_rate:.0f} GFLOP/s; training reaches {ours_rate / both_rate:.0%}")
    print(f"ddp's Unet  {row(their_cost, their_net, t_theirs, theirs_rate)}")
    print(f"difflab does {ours_rate / theirs_rate:.2f} times the GFLOP/s of ddp's Unet")


def row(cost: float, net: nn.Module, step: float, rate: float) -> str:
    size = f"{cost:.3f} GFLOP/image, {parameters(net) / 1e6:.2f} M parameters"
    return f"{size}: {BATCH / step:.0f} images/s, {rate:.0f} GFLOP/s"


if __name__ == "__main__":
    main()
