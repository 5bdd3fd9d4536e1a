"""A model that has learned eight pictures by heart gives the one that it is asked for."""

import pytest
import torch

from difflab import assemble
from difflab.conditions.asked import InTurn
from difflab.config.compose import compose
from difflab.data.embedded import emoji
from difflab.data.stream import Stream
from difflab.rng import generator

STEPS, LR = 400, 3e-3


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_caption_gives_its_picture() -> None:
    cfg = compose("train", [
        "experiment=emoji_text", "net=unet_tiny", "data.shape=[3,16,16]", "condition.buckets=512", "grid.steps=12",
    ])  # fmt: skip
    train, _ = emoji(cfg.data.shape, caption=cfg.data.source.caption)
    few = train.select(torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:8])
    denoiser, objective = assemble.denoiser(cfg), assemble.objective(cfg)
    optimizer = torch.optim.Adam(denoiser.parameters(), LR)
    losses = []
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = LR * min(1, step / 20, (STEPS - step) / 200)
        batch = Stream(few, 32, seed=0, tag_dropout=0.5).batch(32 * step)
        given = denoiser.condition.of_batch(batch).dropped(0.1, generator(0, "condition", step))
        loss = objective(denoiser.given(given), batch["x0"], generator(0, "noise", step)).per_sample.mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-50:]) < 0.3 * sum(losses[:50])
    assert few.captions is not None
    for prompts in (few.captions, [caption.split(",")[0] for caption in few.captions]):
        generation = assemble.generation(cfg).asking(InTurn(denoiser.eval().condition.ask(prompts)))
        made = generation.batch(denoiser, 0, range(24)).float()
        distance = (made[:, None] - few.pixels.float()).square().flatten(2).mean(2)
        right = distance.argmin(1) == torch.arange(24) % 8
        assert right.float().mean() >= 0.9, prompts
