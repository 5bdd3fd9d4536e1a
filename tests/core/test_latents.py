"""Latents: the identity changes nothing to the bit, moments are 0 and 1, and what is kept is found or made again."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from difflab.data.images import Images
from difflab.data.stream import Stream
from difflab.denoiser import Denoiser
from difflab.errors import DifflabError
from difflab.generation import Generation
from difflab.grids import Karras
from difflab.latents import cache as module
from difflab.latents.base import Autoencoder
from difflab.latents.cache import Stored, cache_path, encoded, moments
from difflab.latents.codec import Codec
from difflab.latents.convolutional import ConvolutionalKL
from difflab.latents.diffusers_kl import DiffusersKL, from_folder
from difflab.latents.fidelity import reconstruction_psnr
from difflab.latents.reconstruction import Reconstruction
from difflab.nets.mlp import MLP
from difflab.pixels import to_model
from difflab.predictions import V
from difflab.rng import generator
from difflab.samplers import heun
from difflab.schedules import Cosine
from tests.core.test_conditions import randomised

SHAPE, CPU = (1, 8, 8), torch.device("cpu")


class Same(Autoencoder):
    """Latents that are the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.node = {"_target_": "nowhere"}
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def encode(self, x: Tensor) -> Tensor:
        return x

    def decode(self, z: Tensor) -> Tensor:
        return z


def small(multipliers: tuple[int, ...] = (1, 2)) -> ConvolutionalKL:
    return randomised(ConvolutionalKL(SHAPE, 3, 8, multipliers, 1))  # type: ignore[return-value]


def images(n: int = 40, seed: int = 0) -> Images:
    return Images(torch.randint(256, (n, *SHAPE), generator=generator(seed), dtype=torch.uint8))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DIFFLAB_CACHE", str(tmp_path))
    return tmp_path


def codec(flips: bool = False) -> Codec:
    made = small()
    found = encoded(made, images(), flips, CPU)
    return Codec(made, found.mean, found.std)


# The identity


def test_latents_that_are_the_pixels_change_nothing_to_the_bit() -> None:
    denoiser = randomised(Denoiser(MLP(SHAPE, 16, 2), V(), 0.5)).requires_grad_(False)
    plain = Generation(heun, Karras(4).nodes(Cosine()), SHAPE, {"nfe": 7})  # type: ignore[arg-type]
    through = plain.decoding(Codec(Same(), torch.zeros(1), torch.ones(1)))
    assert plain.decoding(None) == plain
    assert torch.equal(plain.batch(denoiser, 0, range(4)), through.batch(denoiser, 0, range(4)))
    for a, b in zip(plain.film(denoiser, 0, [0, 1]), through.film(denoiser, 0, [0, 1]), strict=True):
        assert torch.equal(a, b)
    assert through.protocol.keys() - plain.protocol.keys() == {"latent"}


# The scale, and the file


def test_every_channel_has_mean_0_and_deviation_1_on_the_training_pictures(cache: Path) -> None:
    latents = codec().encode(images().pixels)
    torch.testing.assert_close(latents.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(latents.std((0, 2, 3), correction=0), torch.ones(3), rtol=1e-5, atol=0)


def test_decoding_undoes_the_scale(cache: Path) -> None:
    made, x = codec(), images(4)
    plain = made.autoencoder.decode(made.autoencoder.encode(to_model(x.pixels)))
    torch.testing.assert_close(made.decode(made.encode(x.pixels)), plain, rtol=1e-4, atol=1e-4)


def test_a_channel_that_says_nothing_stays_finite() -> None:
    made = Codec(Same(), torch.zeros(1), torch.zeros(1))
    assert made.standardised(torch.zeros(2, *SHAPE)).abs().max() == 0


def test_the_file_is_the_codec_to_the_bit(cache: Path) -> None:
    made, path = codec(), cache / "codec.safetensors"
    made.write(path)
    again = Codec.read(path)
    z = torch.randn(2, 3, 4, 4, generator=generator(1))
    assert again.name == made.name
    assert torch.equal(again.decode(z), made.decode(z))
    assert torch.equal(again.encode(images().pixels), made.encode(images().pixels))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DifflabError, match=r"codec\.safetensors can't be read"):
        Codec.read(path)


# What is kept


def test_latents_are_computed_once_for_equal_pictures_and_weights(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = encoded(small(), images(), False, CPU)
    monkeypatch.setattr(ConvolutionalKL, "encode", None)
    again = encoded(small(), images(), False, CPU)
    assert all(torch.equal(getattr(first, name), getattr(again, name)) for name in ("latents", "mean", "std"))
    with pytest.raises(TypeError):
        encoded(small(), images(seed=1), False, CPU)
    with pytest.raises(TypeError):
        encoded(small(), images(), True, CPU)
    other = small()
    other.decoder[0].weight.data[0, 0, 0, 0] += 1
    with pytest.raises(TypeError):
        encoded(other, images(), False, CPU)


def test_latents_of_the_same_pixels_are_found_whatever_is_said_of_them(cache: Path) -> None:
    made, plain = small(), images()
    labelled = Images(plain.pixels, torch.zeros(40, dtype=torch.int64), ["a cat"] * 40, ["cat"])
    assert cache_path(made, labelled, False) == cache_path(made, plain, False)
    assert cache_path(made, labelled, True) != cache_path(made, plain, False)


def test_moments_are_those_of_all_latents_in_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 16)
    latents = 3 + torch.randn(40, 3, 4, 4, generator=generator(0)) * torch.tensor([0.1, 1, 9])[:, None, None]
    mean, std = moments(latents)
    torch.testing.assert_close(mean, latents.double().mean((0, 2, 3)), rtol=1e-14, atol=0)
    torch.testing.assert_close(std, latents.double().std((0, 2, 3), correction=0), rtol=1e-14, atol=0)


class Memory(TorchDispatchMode):
    """Keeps what is allocated, by its address."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[int, torch.UntypedStorage] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor):
            self.found[made.untyped_storage().data_ptr()] = made.untyped_storage()
        return made


def test_all_latents_are_in_memory_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BATCH", "BLOCK"):
        monkeypatch.setattr(module, name, 8)
    many = images(200)
    with Memory() as memory:
        found = encoded(Same(), many, True, CPU)
        codec = Codec(Same(), found.mean, found.std)
        wanted = codec.standardised(found.latents[:8])
        standardised = codec.standardise(found.latents)
    assert torch.equal(standardised[:8], wanted)
    whole = found.latents.untyped_storage().nbytes()
    assert [s.nbytes() for s in memory.found.values() if s.nbytes() >= whole / 2] == [whole]


def test_latents_on_disk_stay_the_autoencoders_own(cache: Path) -> None:
    first = encoded(small(), images(), False, CPU).latents
    found = encoded(small(), images(), False, CPU)
    Codec(small(), found.mean, found.std).standardise(found.latents)
    assert torch.equal(encoded(small(), images(), False, CPU).latents, first)


def test_damaged_latents_are_computed_again(cache: Path) -> None:
    first, path = encoded(small(), images(), False, CPU), cache_path(small(), images(), False)
    path.write_bytes(path.read_bytes()[:200])
    assert torch.equal(encoded(small(), images(), False, CPU).latents, first.latents)
    assert torch.equal(encoded(small(), images(), False, CPU).latents, first.latents)


@pytest.mark.parametrize("flip", [False, True])
def test_the_stream_shows_the_latents_of_the_pictures_it_would_have_shown(cache: Path, flip: bool) -> None:
    found = encoded(small(), images(), flip, CPU)
    plain = Stream(images(), 16, 0, flip).batch(32)
    latent = Stream(images(), 16, 0, flip, latents=Stored(found.latents, flip)).batch(32)
    with torch.no_grad():
        torch.testing.assert_close(latent["x0"], small().encode(plain["x0"]), rtol=1e-5, atol=1e-5)
    assert latent["nimg"] == plain["nimg"]


# The autoencoder


@pytest.mark.parametrize(("multipliers", "side"), [((1,), 8), ((1, 2), 4), ((1, 2, 3), 2)])
def test_latents_are_halved_after_every_multiplier_but_the_first(multipliers: tuple[int, ...], side: int) -> None:
    made, x = small(multipliers), to_model(images(2).pixels)
    with torch.no_grad():
        assert made.encode(x).shape == (2, 3, side, side)
        assert made.decode(made.encode(x)).shape == x.shape


def test_pictures_that_cannot_be_halved_are_refused() -> None:
    with pytest.raises(DifflabError, match="divides pictures by 4, which 6x8 is not a multiple of"):
        ConvolutionalKL((1, 6, 8), 3, 8, [1, 2, 2], 1)


def test_the_loss_is_the_error_of_a_draw_and_the_divergence() -> None:
    objective, x = Reconstruction(small(), kl=0.5), to_model(images(4).pixels)
    with torch.no_grad():
        loss = objective(x, generator(7))
        mean, logvar = objective.autoencoder.posterior(x)
        q, p = (
            torch.distributions.Normal(*pair)
            for pair in ((mean, (logvar / 2).exp()), (torch.tensor(0.0), torch.tensor(1.0)))
        )
        nats = torch.distributions.kl_divergence(q, p).flatten(1).sum(1) / 64
        drawn = mean + (logvar / 2).exp() * torch.randn(mean.shape, generator=generator(7))
        mse = (objective.autoencoder.decode(drawn) - x).square().flatten(1).mean(1)
    torch.testing.assert_close(loss.nats, nats, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loss.per_sample, mse + 0.5 * nats, rtol=1e-4, atol=1e-5)
    with pytest.raises(DifflabError, match=r"objective.kl=-1"):
        Reconstruction(small(), kl=-1)


def test_decibels_are_those_of_a_known_error() -> None:
    class Off(Same):
        def decode(self, z: Tensor) -> Tensor:
            return torch.where(z < 0, z + 10 / 127.5, z - 10 / 127.5)  # ten grey levels

    figure = reconstruction_psnr(Off(), images(), "made/val", nimg=3)
    assert figure.value == pytest.approx(20 * math.log10(25.5))
    assert figure.error == pytest.approx(0, abs=1e-9)
    assert figure.protocol["pictures"] == "made/val" and figure.protocol["n"] == 40


# diffusers


def kl_folder(folder: Path, channels: int = 1) -> Path:
    """A tiny AutoencoderKL with weights of chance, as diffusers saves it."""
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    AutoencoderKL(
        in_channels=channels, out_channels=channels, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=3,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def test_a_folder_of_diffusers_encodes_and_decodes_as_diffusers_does(tmp_path: Path) -> None:
    from diffusers import AutoencoderKL

    made = from_folder(str(kl_folder(tmp_path))).eval()
    theirs, x = AutoencoderKL.from_pretrained(tmp_path).eval(), to_model(images(2).pixels)
    with torch.no_grad():
        z = theirs.encode(x).latent_dist.mode()
        assert torch.equal(made.encode(x), z)
        assert torch.equal(made.decode(z), theirs.decode(z).sample)
    whole = Codec(made, torch.zeros(3), torch.ones(3))
    whole.write(tmp_path / "codec.safetensors")
    again = Codec.read(tmp_path / "codec.safetensors")
    assert isinstance(again.autoencoder, DiffusersKL)
    assert torch.equal(again.decode(z), whole.decode(z))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    one, other = kl_folder(tmp_path / "one"), kl_folder(tmp_path / "other", channels=3)
    (one / "config.json").write_text((other / "config.json").read_text())
    with pytest.raises(DifflabError, match=r"is not of the network in config\.json"):
        from_folder(str(one))
