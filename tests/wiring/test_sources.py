"""What can be scored: runs, checkpoints, folders and arrays, each picture by its number."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from difflab import rng
from difflab.config.compose import compose
from difflab.errors import DifflabError
from difflab.nets.digest import digest_of_weights
from difflab.pixels import save_png
from difflab.runs.directory import Run
from difflab.runs.weights import load_snapshot
from difflab.scoring.picture_arrays import PictureArray
from difflab.scoring.picture_sets import PictureSet, open_pictures
from difflab.scoring.sources import RunSource, Source, open_source

SHAPE = (3, 8, 6)
DEVICE = torch.device("cpu")


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.randint(0, 256, (150, *SHAPE), dtype=torch.uint8, generator=rng.generator(0, "pictures"))


@pytest.fixture(scope="module")
def folder(pictures: torch.Tensor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of them."""
    root = tmp_path_factory.mktemp("tree")
    for i, picture in enumerate(pictures):
        save_png(root / f"class{i % 3}" / f"{i:03d}.png", picture)
    (root / "class0" / "notes.txt").write_text("no picture")
    (root / ".hidden.png").write_bytes(b"no picture")
    return root


def opened(path: Path, shape: tuple[int, ...] | None = SHAPE, resize: str | None = None, seed: int = 0) -> PictureSet:
    return open_pictures(path, f"from={path}", shape, resize, seed)


def everything(source: Source) -> torch.Tensor:
    assert source.n is not None
    return torch.cat(list(source.batches(range(source.n))))


def as_set(pictures: torch.Tensor) -> set[bytes]:
    return {p.numpy().tobytes() for p in pictures}


def npz(path: Path, compressed: bool = False, **arrays: np.ndarray) -> Path:
    (np.savez_compressed if compressed else np.savez)(path, **arrays)  # type: ignore[arg-type]
    return path


def test_folder_gives_every_picture_once_whatever_the_chunks(folder: Path, pictures: torch.Tensor) -> None:
    source = opened(folder)
    whole = everything(source)
    assert source.n == 150
    assert as_set(whole) == as_set(pictures)
    assert [len(b) for b in source.batches(range(150))] == [64, 64, 22]
    assert torch.equal(
        torch.cat(list(source.chunks([[3], [149, 0], range(70, 90)]))), whole[[3, 149, 0, *range(70, 90)]]
    )


def test_order_is_a_fair_choice_of_the_seed(folder: Path) -> None:
    first, again, other = (everything(opened(folder, seed=s)) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert opened(folder).digest == opened(folder).digest != opened(folder, seed=1).digest
    assert opened(folder).shelf.content() == opened(folder, seed=1).shelf.content()


def test_content_is_what_its_digest_depends_on(folder: Path, pictures: torch.Tensor, tmp_path: Path) -> None:
    for i, picture in enumerate(pictures):
        save_png(tmp_path / f"class{i % 3}" / f"{i:03d}.png", picture)
    copy = opened(tmp_path)
    assert copy.shelf.content() == opened(folder).shelf.content(), "a copy elsewhere is the same"
    save_png(tmp_path / "class1" / "001.png", 255 - pictures[1])
    assert opened(tmp_path).shelf.content() != copy.shelf.content()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("layout", ["nhwc", "nchw", "named"])
def test_npz_in_the_layouts_that_others_write(
    pictures: torch.Tensor, tmp_path: Path, layout: str, compressed: bool
) -> None:
    last = pictures.permute(0, 2, 3, 1).numpy()
    arrays = {
        "nhwc": {"arr_0": last, "arr_1": np.arange(150)},
        "nchw": {"arr_0": pictures.numpy()},
        "named": {"x": last},
    }
    path = npz(tmp_path / "samples.npz", compressed, **arrays[layout])
    assert as_set(everything(opened(path))) == as_set(pictures)
    assert isinstance(PictureArray(path)._pixels, np.memmap), "never in memory as a whole"


def test_grey_pictures(pictures: torch.Tensor, tmp_path: Path) -> None:
    grey = pictures[:20, 0]
    path = npz(tmp_path / "grey.npz", images=grey.numpy())
    assert as_set(everything(opened(path, (1, 8, 6)))) == as_set(grey[:, None])
    assert as_set(everything(opened(path, None))) == as_set(grey[:, None].expand(-1, 3, -1, -1))
    rgb = npz(tmp_path / "rgb.npz", arr_0=grey[..., None].expand(-1, -1, -1, 3).numpy())
    assert as_set(everything(opened(rgb, (1, 8, 6)))) == as_set(grey[:, None]), "grey in three channels is grey"


def test_pictures_that_do_not_fit_are_refused_or_brought_to_size(folder: Path) -> None:
    with pytest.raises(DifflabError, match=r"is 6x8 pixels, .* with 5x5: set data.shape=\[3,8,6\], or resize=squash"):
        opened(folder, (3, 5, 5))
    with pytest.raises(DifflabError, match=r"is in colour, .* is grey: set data.shape=\[3,8,6\]"):
        opened(folder, (1, 8, 6))
    fitted = opened(folder, (3, 5, 5), "squash")
    assert everything(fitted).shape == (150, 3, 5, 5)
    assert fitted.protocol["pictures_resize"] == "squash"
    assert fitted.digest != opened(folder).digest


def test_a_picture_of_another_size_later_on_is_named(pictures: torch.Tensor, tmp_path: Path) -> None:
    for i in range(20):
        save_png(tmp_path / f"{i:02d}.png", pictures[i])
    save_png(tmp_path / "13.png", pictures[13][:, :4])
    with pytest.raises(DifflabError, match=r"13.png is 6x4 pixels"):
        everything(opened(tmp_path))
    (tmp_path / "13.png").write_bytes(b"\x89PNG nothing more")
    with pytest.raises(DifflabError, match=r"13.png can't be read .* mend it, or take it away"):
        everything(opened(tmp_path))


def test_what_is_none_of_these(tmp_path: Path) -> None:
    statistics = npz(tmp_path / "statistics.npz", mu=np.zeros(4), sigma=np.eye(4))
    floats = npz(tmp_path / "floats.npz", arr_0=np.zeros((3, 8, 6, 3)))
    labels = npz(tmp_path / "labels.npz", y=np.zeros(3))
    broken = tmp_path / "broken.npz"
    broken.write_bytes(floats.read_bytes()[:100])
    (tmp_path / "empty").mkdir()
    (tmp_path / "words.txt").write_text("words")
    for path, words in {
        statistics: "holds statistics (mu, sigma), no pictures: it can be a reference=",
        floats: "arr_0 of .* is float64[3, 8, 6, 3], no pictures",
        labels: "holds y float64[3], no pictures",
        broken: "can't be read as an .npz",
        tmp_path / "empty": "has no config.yaml, so it is no run, and no picture",
        tmp_path / "words.txt": "is none of them: name a run",
        tmp_path / "nowhere": "does not exist: name a run",
    }.items():
        with pytest.raises(DifflabError, match=words.replace("(", r"\(").replace(")", r"\)").replace("[", r"\[")):
            opened(path)


def test_folder_of_difflab_sample_says_how_it_was_made(pictures: torch.Tensor, tmp_path: Path) -> None:
    for i in range(4):
        save_png(tmp_path / f"{i:06d}.png", pictures[i])
    save_png(tmp_path / "grid.png", torch.zeros(3, 16, 12, dtype=torch.uint8))
    (tmp_path / "samples.json").write_text(json.dumps({"n": 4, "seed": 7, "sampler": "heun()", "nfe": 5}))
    source = opened(tmp_path)
    assert source.n == 4
    assert {"sampler": "heun()", "nfe": 5, "sample_seed": 7, "source": tmp_path.name}.items() <= source.protocol.items()


def of_run(run: Run, name: Path, *overrides: str) -> RunSource:
    cfg = compose("evaluate", [f"from={name}", *overrides])
    source = open_source(cfg, DEVICE, tuple(cfg.data.shape))
    assert isinstance(source, RunSource)
    return source


def test_run_and_its_checkpoints(smoke: Run) -> None:
    last, raw, file = (of_run(smoke, p, w) for p, w in (
        (smoke.path, "weights=ema"), (smoke.path, "weights=raw"), (smoke.checkpoint, "weights=ema"),
    ))  # fmt: skip
    (path,) = smoke.checkpoint.parent.glob("snapshot-*.ckpt")
    early = of_run(smoke, path)
    assert torch.equal(*(torch.cat(list(s.batches([5, 0]))) for s in (last, file)))
    assert last.digest == file.digest
    assert len({s.digest for s in (last, raw, early)}) == 3
    assert (last.protocol["nimg"], early.protocol["nimg"]) == (2048, 512)
    assert early.protocol["source_digest"] == digest_of_weights(load_snapshot(smoke, 512)[1])


def test_sample_i_of_a_run_depends_on_seed_and_i_alone(smoke: Run) -> None:
    source, other = (of_run(smoke, smoke.path, f"seed={s}") for s in (0, 3))
    one, many = (torch.cat(list(source.batches(i))) for i in ([7], range(10)))
    assert (one[0].int() - many[7].int()).abs().max() <= 1, "rounding of convolutions apart"
    assert not torch.equal(next(other.batches([7])), one)
    assert source.digest != other.digest


@pytest.mark.parametrize("override", ["sampler=heun", "grid.steps=3", "guidance=clip", "weights=raw"])
def test_whatever_makes_other_samples_changes_the_digest(smoke: Run, override: str) -> None:
    assert of_run(smoke, smoke.path).digest != of_run(smoke, smoke.path, override).digest
