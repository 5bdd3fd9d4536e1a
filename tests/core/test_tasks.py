"""Tasks: a start, a grid and a denoiser wrapper, each proved on denoisers that are known exactly."""

import importlib.util
import math
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from difflab.config.instantiate import build
from difflab.denoiser import Denoise
from difflab.errors import DifflabError
from difflab.files import conf_dir
from difflab.generation import Generation
from difflab.grids import Grid, Karras, Nodes, UniformT
from difflab.oracles import Mixture, gaussian
from difflab.pixels import to_model, to_uint8
from difflab.rng import SampleNoise, generator
from difflab.samplers import Noise, Sampler, ddim, ddpm, deis, dpmpp_2m, heun, last, pure_noise, run, unipc
from difflab.schedules import VE, Cosine, Rectified, Schedule
from difflab.tasks import Colorize, Img2Img, Inpaint, Inputs, Interpolate, Invert, Outpaint, Upscale, Variations
from difflab.tasks.interpolate import slerp
from difflab.tasks.invert import inverted, inverting
from difflab.tasks.measurements import AreaAverage, ChannelMean, Consistency, KeptPixels, Measurement
from difflab.tasks.outpaint import Windows
from difflab.thresholding import Clip
from difflab.zigzag import TimeTravel

GREY, COLOUR = (1, 4, 6), (3, 4, 6)
KEEP = torch.arange(24).reshape(4, 6) % 3 > 0
LUMPS = Mixture(
    torch.rand(5, *GREY, generator=generator(1)).double() * 2 - 1, torch.full((5,), 0.2), torch.full((5,), 0.2)
)
IMAGE = torch.randint(0, 256, GREY, generator=generator(2), dtype=torch.uint8)
MEASUREMENTS: dict[str, Measurement] = {
    "pixels": KeptPixels(KEEP), "area": AreaAverage(2), "channels": ChannelMean(3)
}  # fmt: skip
DETERMINISTIC: dict[str, Sampler] = {
    "euler": ddim, "heun": heun, "dpmpp_2m": dpmpp_2m, "unipc": unipc, "deis": deis
}  # fmt: skip


def draws(seed: int) -> Noise:
    g = generator(seed)
    return lambda like: torch.randn(like.shape, generator=g, dtype=like.dtype)


def plain(sampler: Sampler = heun, grid: Grid | None = None, shape: tuple[int, ...] = GREY) -> Generation:
    return Generation(sampler, (grid or Karras(10)).nodes(Cosine()), shape, {})


def shipped(group: str) -> list[str]:
    return sorted(p.stem for p in (conf_dir() / group).glob("*.yaml"))


def shipped_sampler(name: str) -> Sampler:
    made: Sampler = build(OmegaConf.load(conf_dir() / "sampler" / f"{name}.yaml"))
    return made


class Learned:
    """LUMPS with a variance half-way between its bounds."""

    def __call__(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return LUMPS(x, alpha, sigma)

    def with_variance(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return self(x, alpha, sigma), torch.full_like(x, 0.5)


@pytest.mark.parametrize("sampler", [heun, ddpm], ids=["heun", "ddpm"])
def test_no_start_is_pure_noise(sampler: Sampler) -> None:
    nodes, like = Karras(6).nodes(Cosine()), torch.zeros(2, *GREY)
    noise = draws(0)
    given = last(run(sampler, LUMPS, nodes, noise, like, pure_noise(nodes, noise, like)))
    assert torch.equal(given, last(run(sampler, LUMPS, nodes, draws(0), like)))


# --- what is known of a picture


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_measurement_has_a_right_inverse(name: str) -> None:
    measure, x = MEASUREMENTS[name], torch.randn(2, *COLOUR, generator=generator(0), dtype=torch.float64)
    y = measure(x)
    torch.testing.assert_close(measure(measure.inverse(y)), y, rtol=0, atol=1e-15)


def test_measurements_are_what_they_say() -> None:
    x = torch.arange(48).double().reshape(1, 3, 4, 4)
    assert AreaAverage(4)(x).flatten().tolist() == [7.5, 23.5, 39.5]
    assert torch.equal(
        AreaAverage(2).inverse(torch.eye(2)[None, None]), torch.eye(2).kron(torch.ones(2, 2))[None, None]
    )
    assert torch.equal(ChannelMean()(x), x[:, 1:2])
    assert torch.equal(KeptPixels(torch.eye(4, dtype=torch.bool))(x), x * torch.eye(4))


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_guess_measures_what_is_known_and_keeps_the_rest(name: str) -> None:
    measure, g = MEASUREMENTS[name], generator(0)
    x0, other = (torch.randn(2, *COLOUR, generator=g, dtype=torch.float64) for _ in range(2))
    known = Consistency(measure, measure(other)[:1])
    guess = known(lambda x, alpha, sigma: x0)(other, torch.tensor(0.6), torch.tensor(0.8))
    torch.testing.assert_close(measure(guess), known.y.expand_as(measure(x0)), rtol=0, atol=1e-14)
    rest = lambda x: x - measure.inverse(measure(x))  # noqa: E731
    torch.testing.assert_close(rest(guess), rest(x0), rtol=0, atol=1e-14)


@pytest.mark.parametrize("grid", [Karras(7), UniformT(7)], ids=["karras", "uniform_t"])
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_kept_pixels_are_at_every_node_what_noising_the_known_picture_gives(name: str, grid: Grid) -> None:
    """alpha' known + sigma' z, with the z of the start: in float64 to the last digits, whatever the denoiser says."""
    nodes, known = grid.nodes(Cosine()), to_model(IMAGE).double()
    wrapped = Consistency(KeptPixels(KEEP), KeptPixels(KEEP)(known[None]))
    start = wrapped.start(nodes)(LUMPS, SampleNoise(0, [0]), torch.zeros(1, *GREY).double())
    z = SampleNoise(0, [0])(start)
    states = [start, *(s.x for s in run(DETERMINISTIC[name], wrapped(LUMPS), nodes, draws(0), start, start))]
    for x, alpha, sigma in zip(states, nodes.alpha, nodes.sigma, strict=True):
        torch.testing.assert_close(x[0][:, KEEP], (alpha * known + sigma * z)[0][:, KEEP], rtol=0, atol=1e-12)
    assert (states[-1][0] - known)[:, ~KEEP].abs().max() > 0.1


def law_of_a_known_pixel(sampler: Sampler, nodes: Nodes) -> tuple[Tensor, Tensor]:
    """Mean and covariance of its states over the nodes. They are linear in the draws, so unit draws say it all."""
    n = 4 * len(nodes)  # draws at most
    known = Consistency(
        KeptPixels(torch.ones(1, 1, dtype=torch.bool)), torch.full((1, 1, 1, 1), 0.7, dtype=torch.float64)
    )
    alone = iter(torch.eye(n + 1).double()[1:, :, None, None, None])
    noise: Noise = lambda like: next(alone)  # noqa: E731
    start = known.start(nodes)(LUMPS, noise, torch.zeros(n + 1, 1, 1, 1).double())
    steps = run(sampler, known(lambda x, alpha, sigma: x * 0 + 9), nodes, noise, start, start)
    states = torch.stack([start, *(step.x for step in steps)])[:, :, 0, 0, 0]
    effects = states[:, 1:] - states[:, :1]
    return states[:, 0], effects @ effects.T


@pytest.mark.parametrize("sampler", [ddpm, partial(ddim, eta=1.0)], ids=["ddpm", "ddim1"])
@pytest.mark.parametrize("schedule", [Cosine(), VE(), Rectified()], ids=lambda s: s.name)
def test_ancestral_states_of_a_known_pixel_have_the_law_of_the_forward_process(
    sampler: Sampler, schedule: Schedule
) -> None:
    """Jointly, at all nodes: q(x_s, x_t | x0) has the covariance (alpha_t / alpha_s) sigma_s^2, s the cleaner one."""
    nodes = Karras(8).nodes(schedule)
    mean, covariance = law_of_a_known_pixel(sampler, nodes)
    torch.testing.assert_close(mean, 0.7 * nodes.alpha, rtol=0, atol=1e-12)
    wanted = (nodes.alpha[:, None] / nodes.alpha) * nodes.sigma**2
    wanted = torch.where(nodes.sigma_hat[:, None] >= nodes.sigma_hat, wanted, wanted.T)
    torch.testing.assert_close(covariance, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sampler", [ddpm, ddim], ids=["ddpm", "euler"])
def test_on_a_grid_that_goes_up_the_known_pixel_has_the_level_s_own_noise(sampler: Sampler) -> None:
    """What RePaint's replacement draws, at every node of its time travel."""
    nodes = TimeTravel(12, UniformT, jump_length=3, jump_n_sample=3).nodes(Cosine())
    mean, covariance = law_of_a_known_pixel(sampler, nodes)
    torch.testing.assert_close(mean, 0.7 * nodes.alpha, rtol=0, atol=1e-12)
    torch.testing.assert_close(covariance.diagonal(), nodes.sigma**2, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", shipped("sampler"))
def test_kept_pixels_are_bit_equal_with_every_sampler(name: str) -> None:
    fill = ~KEEP
    edit = Inpaint()(plain(shipped_sampler(name)), Inputs(IMAGE, fill))
    (made,) = edit.generation.batches(Learned(), 0, [0, 1, 2], 3)
    assert torch.equal(made[:, :, KEEP], IMAGE[:, KEEP].expand(3, -1, -1))
    assert (made[0] != made[1])[:, fill].any()


@pytest.mark.parametrize("name", shipped("grid"))
def test_every_grid_fills_holes_and_makes_versions(name: str) -> None:
    grid = build({**OmegaConf.to_container(OmegaConf.load(conf_dir() / "grid" / f"{name}.yaml")), "steps": 8})
    generation = plain(ddpm, grid)
    (made,) = Inpaint()(generation, Inputs(IMAGE, ~KEEP)).generation.batches(LUMPS, 0, [0], 1)
    assert torch.equal(made[0][:, KEEP], IMAGE[:, KEEP])
    half = Img2Img(0.5)(generation, Inputs(IMAGE)).generation
    assert len(list(half.states(LUMPS, 0, [0]))) == 1 + round(len(generation.nodes) / 2)
    assert torch.isfinite(list(half.states(LUMPS, 0, [0]))[-1]).all()


def test_kept_pixels_are_bit_equal_whatever_the_network_says() -> None:
    edit = Inpaint()(plain(ddpm), Inputs(IMAGE, ~KEEP))
    (made,) = edit.generation.batches(lambda x, alpha, sigma: x * math.nan, 0, [0], 1)
    assert torch.equal(made[0][:, KEEP], IMAGE[:, KEEP])


def test_guidance_is_applied_before_what_is_known() -> None:
    """A guess clipped to 0 everywhere leaves the kept pixels, and nothing else."""
    dark = Generation(heun, Karras(5).nodes(Cosine()), GREY, {}, Clip(-1e-9, 1e-9))
    (made,) = Inpaint()(dark, Inputs(IMAGE, ~KEEP)).generation.batches(LUMPS, 0, [0], 1)
    assert torch.equal(made[0], torch.where(KEEP, IMAGE, 128))


@pytest.mark.parametrize("mask", [torch.zeros(4, 6), torch.ones(4, 6)], ids=["nothing", "all"])
def test_mask_that_fills_nothing_or_all_is_refused(mask: Tensor) -> None:
    with pytest.raises(DifflabError, match=r"mask: it is (black|white) all over"):
        Inpaint()(plain(), Inputs(IMAGE, mask.bool()))


def study() -> ModuleType:
    """bench/inpainting.py."""
    path = Path(__file__).parents[2] / "bench" / "inpainting.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    sys.modules[path.stem] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("name", "times_the_floor"), [("line", 4), ("ring", 5)])
def test_time_travel_brings_the_fill_near_its_exact_distribution(name: str, times_the_floor: int) -> None:
    """bench/inpainting.py has what more and shorter trips make of it."""
    bench = study()
    case = getattr(bench, name)()
    errors = [bench.error(case, bench.filled(case, "ddpm", 5, visits, 0, fills=1000)) for visits in (1, 2, 4, 8)]
    floor = max(bench.error(case, bench.exact(case, seed, fills=1000)) for seed in range(5))
    assert errors[0] > 0.1
    assert all(after < before for before, after in pairwise(errors))
    assert errors[-1] < min(errors[0] / 2.5, times_the_floor * floor)


# --- large out of small, colour out of grey


@pytest.mark.parametrize("level", [0.0, 3.0], ids=["dark", "too bright"])
@pytest.mark.parametrize("name", ["area", "channels"])
def test_restored_picture_measures_the_given_one_to_a_rounding(name: str, level: float) -> None:
    """Half a level, also where the network's pixels stick out of the range of pictures."""
    measure = MEASUREMENTS[name]
    image = measure(torch.randint(0, 256, (1, *COLOUR), generator=generator(3)).double()).round().to(torch.uint8)[0]
    image[0, 0, :3] = torch.tensor([0, 255, 1])
    task = Upscale(2) if name == "area" else Colorize()
    assert task.image_shape(COLOUR) == tuple(image.shape)
    edit = task(plain(ddpm, shape=COLOUR), Inputs(image))
    rough: Denoise = lambda x, alpha, sigma: level + 2 * x / (alpha + sigma)  # noqa: E731
    made = edit.generation.batch(rough, 0, [0, 1])
    assert made.shape == (2, *COLOUR)
    assert (measure(made.double()) - image).abs().max() <= 0.5
    assert torch.equal(edit.beside["before"].double(), measure.inverse(image[None].double())[0])


def test_restored_picture_in_range_is_only_rounded() -> None:
    x = (torch.rand(2, *COLOUR, generator=generator(0)) * 1.8 - 0.9).double()
    known = Consistency(AreaAverage(2), AreaAverage(2)(x))
    assert torch.equal(known.picture(x), to_uint8(x))


def test_no_colour_for_a_grey_run_and_no_factor_that_does_not_fit() -> None:
    with pytest.raises(DifflabError, match="the run makes grey pictures"):
        Colorize().image_shape(GREY)
    with pytest.raises(DifflabError, match=r"task\.factor=3 does not divide the run's pictures of 6x4"):
        Upscale(3).image_shape(GREY)
    with pytest.raises(DifflabError, match=r"task\.factor=1"):
        Upscale(1)


# --- versions of a picture


@pytest.mark.parametrize("name", shipped("sampler"))
def test_strength_0_is_the_picture_and_strength_1_knows_nothing_of_it(name: str) -> None:
    generation = plain(shipped_sampler(name))
    none, full = (Img2Img(s)(generation, Inputs(IMAGE)).generation for s in (0, 1))
    assert torch.equal(none.batch(Learned(), 0, [0, 1]), IMAGE.expand(2, -1, -1, -1))
    assert none.nfe(learns_variance=True) == 0
    assert torch.equal(full.batch(Learned(), 3, [4, 5]), generation.batch(Learned(), 3, [4, 5]))


def test_strength_is_the_share_of_the_steps() -> None:
    generation = plain(ddim, Karras(20))
    half = Img2Img(0.5)(generation, Inputs(IMAGE)).generation
    assert half.nfe() == 10
    states = list(half.states(LUMPS, 0, [7]))
    alpha, sigma = generation.nodes.alpha[10], generation.nodes.sigma[10]
    noise = SampleNoise(0, [7])(torch.zeros(1, *GREY))
    torch.testing.assert_close(states[0], alpha * to_model(IMAGE)[None] + sigma * noise, rtol=0, atol=1e-6)


def test_more_strength_is_farther_from_the_picture() -> None:
    image = to_uint8(LUMPS.means[0].float())
    made = [Img2Img(s)(plain(), Inputs(image)).generation.batch(LUMPS, 0, range(64)) for s in (0.2, 0.5, 0.9)]
    far = [(m.float() - image).square().mean().item() for m in made]
    assert far[0] < far[1] < far[2]


@pytest.mark.parametrize("strength", [-0.1, 1.1, math.nan])
def test_strength_is_a_share(strength: float) -> None:
    with pytest.raises(DifflabError, match=r"task\.strength"):
        Variations(strength)


# --- up to the noise


MEAN, STD = 0.3, 0.5
BELL = gaussian(torch.full(GREY, MEAN).double(), STD)


def noise_of(x0: Tensor, nodes: Nodes) -> Tensor:
    """The exact flow of Gaussian data keeps (x - alpha m) / sqrt(alpha^2 s^2 + sigma^2)."""
    alpha, sigma = nodes.alpha[0], nodes.sigma[0]
    return alpha * MEAN + (alpha**2 * STD**2 + sigma**2).sqrt() * (x0 - MEAN) / STD


@pytest.mark.parametrize("schedule", [Cosine(), VE(), Rectified()], ids=lambda s: s.name)
def test_inversion_finds_the_exact_noise_at_second_order(schedule: Schedule) -> None:
    x0, errors = torch.randn(2, *GREY, generator=generator(0)).double(), []
    for n in (40, 80, 160):
        nodes = Karras(n, sigma_min=1e-4).nodes(schedule)
        errors.append((inverted(BELL, nodes, x0) - noise_of(x0, nodes)).abs().max().item() / nodes.sigma[0].item())
    assert errors[2] < 5e-3
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("name", ["heun", "dpmpp_2m"])
@pytest.mark.parametrize("grid", [Karras(100), UniformT(100), Karras(100, sigma_min=0.1)], ids=["fine", "t", "coarse"])
def test_inverted_picture_comes_back(name: str, grid: Grid) -> None:
    """Also from pure noise (alpha = 0), and where the last step is long."""
    x0 = LUMPS.means[:1] + 0.2 * torch.randn(1, *GREY, generator=generator(0)).double()
    nodes = grid.nodes(Cosine())
    back = last(run(DETERMINISTIC[name], LUMPS, nodes, draws(0), x0, inverted(LUMPS, nodes, x0)))
    assert 20 * math.log10(2 / (back - x0).square().mean().sqrt()) > 40  # dB of the range -1..1


def test_invert_says_how_near_the_picture_came_back() -> None:
    image = to_uint8(LUMPS.means[0])
    task = Invert()
    made = task(plain(grid=Karras(100)), Inputs(image)).generation.batch(LUMPS, 0, [0])
    assert task.figures(Inputs(image), made)["psnr_db"] > 40
    off = image.clone()
    off[0, :2] += 10
    figures = task.figures(Inputs(image), off[None])
    assert figures == pytest.approx({"psnr_db": 20 * math.log10(255 / math.sqrt(50)), "rms_levels": math.sqrt(50)})
    assert task.figures(Inputs(image), image[None]) == {"psnr_db": math.inf, "rms_levels": 0}


def test_picture_goes_to_what_another_denoiser_makes_of_its_noise() -> None:
    """Prompt-to-edit. Between two Gaussians of one deviation the exact map moves the mean."""
    other = gaussian(torch.full(GREY, MEAN - 0.4).double(), STD)
    image = to_uint8(torch.full(GREY, 0.2))
    edit = inverting(plain(grid=Karras(100, sigma_min=1e-3, sigma_max=1e3)), image, under=BELL)
    made = to_model(edit.batch(other, 0, [0]))
    torch.testing.assert_close(made, to_model(image)[None] - 0.4, rtol=0, atol=1 / 127)


@pytest.mark.parametrize("name", shipped("sampler"))
def test_samplers_that_draw_noise_are_found_out(name: str) -> None:
    stochastic = {"ddpm", "ddpm_learned", "ddpm_upper", "dpmpp_sde", "euler_ancestral"}
    assert plain(shipped_sampler(name)).is_deterministic() == (name not in stochastic)


@pytest.mark.parametrize("task", [Invert(), Interpolate(4, [0, 1])], ids=["invert", "interpolate"])
def test_noise_on_the_way_is_refused(task: Invert | Interpolate) -> None:
    for noisy in (plain(ddpm), plain(ddim, TimeTravel(8, UniformT, 2, 2))):
        with pytest.raises(DifflabError, match=r"needs a way without noise.*sampler=heun"):
            task(noisy, Inputs(IMAGE, to=IMAGE))


# --- from one to another


def test_slerp_stays_on_the_sphere_and_ends_at_its_ends() -> None:
    a, b = (torch.randn(3, 8, 8, generator=generator(i)) for i in range(2))
    b = b * a.norm() / b.norm()
    assert torch.equal(slerp(a, b, 0.0), a)
    assert torch.equal(slerp(a, b, 1.0), b)
    for share in (0.25, 0.5, 0.9):
        assert slerp(a, b, share).norm().item() == pytest.approx(a.norm().item(), rel=1e-5)
    one, two = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    torch.testing.assert_close(slerp(one, two, 1 / 3), torch.tensor([math.cos(math.pi / 6), math.sin(math.pi / 6)]))
    torch.testing.assert_close(slerp(one, 3 * one, 0.5), 2 * one)


def test_interpolation_begins_and_ends_at_the_samples_of_its_seeds() -> None:
    generation = plain()
    made = Interpolate(5, [3, 9])(generation, Inputs()).generation.batch(LUMPS, 0, range(5))
    for frame, seed in ((0, 3), (4, 9)):
        assert torch.equal(made[frame], generation.batch(LUMPS, seed, [0])[0])
    assert len({tuple(frame.flatten().tolist()) for frame in made}) == 5


def test_frames_do_not_depend_on_their_batch() -> None:
    generation = Interpolate(5, [3, 9])(plain(), Inputs()).generation
    assert torch.equal(generation.batch(LUMPS, 0, range(5))[2:4], generation.batch(LUMPS, 0, [2, 3]))


def test_interpolation_of_two_pictures_begins_and_ends_at_them() -> None:
    a, b = to_uint8(LUMPS.means[:2])
    made = Interpolate(3, [0, 1])(plain(grid=Karras(100)), Inputs(a, to=b)).generation.batch(LUMPS, 0, range(3))
    assert (made[0].int() - a).abs().max() <= 1
    assert (made[2].int() - b).abs().max() <= 1


@pytest.mark.parametrize("seeds", [[0], [0, 0], [0, 1.5]])
def test_seeds_are_two(seeds: list[float]) -> None:
    with pytest.raises(DifflabError, match=r"task\.seeds"):
        Interpolate(4, seeds)


# --- more around it


def test_windows_of_the_whole_canvas_are_the_denoiser_itself() -> None:
    x, level = torch.randn(2, *GREY, generator=generator(0)).double(), (torch.tensor(0.6), torch.tensor(0.8))
    assert torch.equal(Windows(LUMPS, GREY[1:], 0.5)(x, *level), LUMPS(x, *level))


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("height", [8, 9, 13, 31])
def test_windows_cover_the_canvas_and_a_guess_pixel_by_pixel_stays(height: int, overlap: float) -> None:
    x = torch.randn(1, 1, height, 17, generator=generator(0))
    seen: list[tuple[int, ...]] = []

    def bright(part: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        seen.append(tuple(part.shape))
        return 2 * part + alpha

    level = torch.tensor(0.5), torch.tensor(0.5)
    torch.testing.assert_close(Windows(bright, (8, 8), overlap)(x, *level), 2 * x + 0.5)
    assert set(seen) == {(1, 1, 8, 8)}
    rows, columns = (-(-(n - 8) // (8 - round(8 * overlap + 0.49))) + 1 for n in (height, 17))
    assert len(seen) == rows * columns


def test_guesses_are_averaged_where_windows_overlap() -> None:
    numbers = iter([1.0, 2.0, 4.0])
    guess: Denoise = lambda x, alpha, sigma: x * 0 + next(numbers)  # noqa: E731
    level = torch.tensor(0.5), torch.tensor(0.5)
    made = Windows(guess, (1, 4), 0.5)(torch.zeros(1, 1, 1, 8), *level)
    assert made.flatten().tolist() == [1, 1, 1.5, 1.5, 3, 3, 4, 4]


@pytest.mark.parametrize("name", ["heun", "ddpm_learned"])
def test_outpainted_picture_is_still_there_and_is_moved_by_no_side(name: str) -> None:
    task = Outpaint(left=3, right=0, top=1, bottom=2, overlap=0.5)
    edit = task(plain(shipped_sampler(name)), Inputs(IMAGE))
    made = edit.generation.batch(Learned(), 0, [0, 1])
    assert made.shape == (2, 1, 7, 9)
    assert torch.equal(made[:, :, 1:5, 3:], IMAGE.expand(2, -1, -1, -1))
    assert (made[0] != made[1]).any()
    assert torch.equal(edit.beside["mask"][0] == 0, torch.nn.functional.pad(torch.ones(4, 6), (3, 0, 1, 2)).bool())


def test_canvas_smaller_than_a_window_and_no_room_are_refused() -> None:
    with pytest.raises(DifflabError, match="the canvas of 5x3 is smaller than the run's pictures of 6x4"):
        Outpaint(1, 0, 0, 0, 0.5)(plain(), Inputs(IMAGE[:, :3, :4]))
    with pytest.raises(DifflabError, match=r"task\.left=0, .*1 or more at one"):
        Outpaint(0, 0, 0, 0, 0.5)
    with pytest.raises(DifflabError, match=r"task\.overlap=1"):
        Outpaint(1, 0, 0, 0, 1.0)
