"""DINOv2 and CLIP beside the `transformers` library's own models and picture processors, on tiny random weights."""

import hashlib
import json
import sys

import huggingface_hub
import numpy as np
import pytest
import tiny_transformers
import torch
from made_pictures import shapes
from PIL import Image
from torch import nn
from transformers import BitImageProcessorPil, CLIPImageProcessorPil, CLIPVisionModelWithProjection, Dinov2Model

from difflab.errors import DifflabError
from difflab.metrics.clip import MEAN, STD, Clip
from difflab.metrics.dinov2 import DinoV2, positions
from difflab.metrics.extractor import Extractor, read
from difflab.metrics.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("transformers")
    return {name: getattr(tiny_transformers, name)(root / name) for name in ("dinov2", "clip", "clip_vision")}


@pytest.fixture(scope="module")
def dinov2(folders):
    return DinoV2(folder=str(folders["dinov2"]))


@pytest.fixture(scope="module")
def clip(folders):
    return Clip(folder=str(folders["clip"]))


@pytest.fixture(params=["dinov2", "clip"])
def extractor(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def pictures():
    """Smooth and sharp, smaller and larger than what the networks read."""
    g = torch.Generator().manual_seed(0)
    return [
        shapes(3, seed=0).expand(-1, 3, -1, -1),
        torch.randint(0, 256, (3, 3, 250, 250), generator=g).to(torch.uint8),
    ]


def as_pil(images):
    return [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]


def processor(kind, size, mean, std):
    size = {"height": size, "width": size}
    return kind(
        size=size, do_center_crop=False, resample=Image.Resampling.BICUBIC, image_mean=mean, image_std=std,
        do_convert_rgb=True,
    )  # fmt: skip


def far(a, b):
    return ((a - b).norm() / b.norm()).item()


@torch.no_grad()
def test_dinov2_is_the_librarys_model_on_its_processors_pixels(folders, pictures):
    """Pillow counts in fixed point: a pixel in 200 is off by one level, the features by 1e-3 at most."""
    ours, theirs = DinoV2(folder=str(folders["dinov2"]), rounded=True), Dinov2Model.from_pretrained(folders["dinov2"])
    theirs.eval()
    prepare = processor(BitImageProcessorPil, 224, IMAGENET_MEAN, IMAGENET_STD)
    for images in pictures:
        pixels = prepare(as_pil(images), return_tensors="pt")["pixel_values"]
        mine = ours._input(images, torch.device("cpu"))
        levels = (mine - pixels) * torch.tensor(IMAGENET_STD).view(3, 1, 1) * 255
        assert levels.abs().max() < 1.01
        assert far(theirs(mine).pooler_output, ours(images).features) < 1e-6
        assert far(theirs(pixels).pooler_output, ours(images).features) < 1e-3


@torch.no_grad()
@pytest.mark.parametrize("name", ["clip", "clip_vision"])
def test_clip_is_the_librarys_model_on_its_processors_pixels(folders, pictures, name):
    ours, theirs = (
        Clip(folder=str(folders[name])),
        CLIPVisionModelWithProjection.from_pretrained(folders["clip_vision"]),
    )
    if name == "clip":
        theirs.load_state_dict(whole_clips_vision(folders["clip"]))
    theirs.eval()
    prepare = processor(CLIPImageProcessorPil, 56, MEAN, STD)
    for images in pictures:
        pixels = prepare(as_pil(images), return_tensors="pt")["pixel_values"]
        mine = ours._input(images, torch.device("cpu"))
        assert ((mine - pixels) * torch.tensor(STD).view(3, 1, 1) * 255).abs().max() < 1.01
        for x, bound in ((mine, 1e-6), (pixels, 1e-3)):
            embeddings = theirs(x).image_embeds
            assert far(embeddings / embeddings.norm(dim=1, keepdim=True), ours(images).features) < bound


def whole_clips_vision(folder):
    from safetensors.torch import load_file

    whole = load_file(folder / "model.safetensors")
    return {k: v for k, v in whole.items() if k.startswith(("vision_model.", "visual_projection."))}


def cubic(x, a=-0.75):
    x = abs(x)
    return ((a + 2) * x - (a + 3)) * x * x + 1 if x <= 1 else a * (((x - 5) * x + 8) * x - 4) if x < 2 else 0.0


def test_positions_are_stretched_as_the_authors_do():
    """Beside the cubic kernel written out: sample i is read at (i + 1/2) * 37 / 16.1 - 1/2."""
    trained = torch.randn(1, 1 + 37 * 37, 4, generator=torch.Generator().manual_seed(0))
    along = np.zeros((16, 37))
    for i in range(16):
        at = (i + 0.5) * 37 / 16.1 - 0.5
        for tap in range(int(np.floor(at)) - 1, int(np.floor(at)) + 3):
            along[i, np.clip(tap, 0, 36)] += cubic(at - tap)
    grid = trained[0, 1:].reshape(37, 37, 4).double().numpy()
    expected = np.einsum("ia,jb,abd->ijd", along, along, grid).reshape(-1, 4)
    found = positions(trained, 16)
    assert torch.equal(found[:, 0], trained[:, 0])
    assert np.abs(found[0, 1:].numpy() - expected).max() < 1e-5
    assert positions(trained, 37) is trained


@torch.no_grad()
def test_dinov2_of_518_pixels_reads_224_with_the_stretched_positions(tmp_path, pictures):
    folder = tiny_transformers.dinov2(tmp_path, 518)
    ours, theirs = DinoV2(folder=str(folder)), Dinov2Model.from_pretrained(folder).eval()
    x = ours._input(pictures[0], torch.device("cpu"))
    unlike = theirs(x).pooler_output
    theirs.embeddings.interpolate_pos_encoding = lambda embeddings, height, width: positions(
        theirs.embeddings.position_embeddings, 16
    )
    assert far(theirs(x).pooler_output, ours(pictures[0]).features) < 1e-6
    assert far(unlike, ours(pictures[0]).features) > 1e-3


def test_rounded_or_not_is_another_protocol(folders, dinov2, pictures):
    rounded = DinoV2(folder=str(folders["dinov2"]), rounded=True)
    assert dinov2.resize == "bicubic 224x224 antialias=True, grey to RGB"
    assert rounded.resize == "bicubic 224x224 antialias=True rounded, grey to RGB"
    assert 0 < far(rounded(pictures[0]).features, dinov2(pictures[0]).features) < 3e-2


def test_clip_reads_the_central_square(clip):
    wide = torch.randint(0, 256, (2, 3, 60, 80), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    assert clip.resize == "central square, bicubic 56x56 antialias=True rounded, grey to RGB"
    assert torch.equal(clip(wide).features, clip(wide[..., 10:70]).features)
    assert torch.allclose(clip(wide).features.norm(dim=1), torch.ones(2))


def test_a_picture_has_the_same_features_in_any_batch(extractor):
    images = shapes(9, seed=0)
    whole = read(extractor, images).features
    for size in (1, 2, 7):
        parts = torch.cat([extractor(chunk).features for chunk in images.split(size)])
        assert ((parts - whole).norm(dim=1) < 1e-5 * whole.norm(dim=1)).all()


def test_grey_is_rgb_with_equal_channels(extractor):
    images = shapes(4, seed=0)
    assert far(extractor(images).features, extractor(images.repeat(1, 3, 1, 1)).features) < 1e-6


def test_is_an_extractor_that_no_module_can_own(extractor, folders):
    assert isinstance(extractor, Extractor)
    owner = nn.Module()
    owner.extractor = extractor
    before = extractor(shapes(3, seed=0)).features
    owner.train()
    assert owner.state_dict() == {} and list(owner.parameters()) == []
    assert torch.equal(extractor(shapes(3, seed=0)).features, before)
    assert before.shape == (3, extractor.dim) and not before.requires_grad
    content = (folders[extractor.name.split("_")[0]] / "model.safetensors").read_bytes()
    assert extractor.weights_sha256 == hashlib.sha256(content).hexdigest()


def test_building_one_leaves_the_global_randomness_alone(folders):
    state = torch.random.get_rng_state()
    DinoV2(folder=str(folders["dinov2"]))
    Clip(folder=str(folders["clip"]))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_only_the_papers_network_bears_the_papers_name(dinov2, clip, folders, monkeypatch):
    assert (dinov2.name, dict(dinov2.names)) == ("dinov2_32x2", {})
    monkeypatch.setattr("difflab.metrics.dinov2.PUBLISHED", (32, 2, 14))
    folder = str(folders["dinov2"])
    assert DinoV2(folder=folder).name == "dinov2"
    assert {DinoV2("some/other", folder).name, DinoV2(folder=folder, size=112).name} == {"dinov2_32x2"}
    assert (clip.name, clip.names) == ("clip_16x2", {})
    monkeypatch.setattr("difflab.metrics.clip.PUBLISHED", (32, 2, 14, 56, 16))
    published = Clip(folder=str(folders["clip"]))
    assert (published.name, published.names) == ("clip", {"cmmd": "cmmd"})
    assert Clip(model="somebody/fine-tuned", folder=str(folders["clip"])).names == {}


def test_weights_of_torch_are_read_without_running_them(tmp_path, clip):
    folder = tiny_transformers.clip(tmp_path)
    state = whole_clips_vision(folder)
    (folder / "model.safetensors").unlink()
    torch.save({**state, "vision_model.embeddings.position_ids": torch.arange(17)}, folder / "pytorch_model.bin")
    assert torch.equal(Clip(folder=str(folder))(shapes(2, seed=0)).features, clip(shapes(2, seed=0)).features)
    torch.save({**state, "run": print}, folder / "pytorch_model.bin")
    with pytest.raises(DifflabError, match="holds more than tensors"):
        Clip(folder=str(folder))


def test_folders_that_hold_something_else(tmp_path, folders):
    from safetensors.torch import load_file, save_file

    with pytest.raises(DifflabError, match=r"has no config.json: give the folder that `hf download facebook/dinov2"):
        DinoV2(folder=str(tmp_path))
    with pytest.raises(DifflabError, match="describes a clip, metrics=dinov2 reads dinov2"):
        DinoV2(folder=str(folders["clip"]))
    folder = tiny_transformers.dinov2(tmp_path)
    file, config = folder / "model.safetensors", json.loads((folder / "config.json").read_text())
    state = load_file(file)
    save_file({k: v for k, v in state.items() if k != "layernorm.bias"}, file)
    with pytest.raises(DifflabError, match=r"lacks layernorm.bias \(and 0 more\): it holds the weights of another"):
        DinoV2(folder=str(folder))
    save_file({**state, "layernorm.bias": torch.zeros(5)}, file)
    with pytest.raises(DifflabError, match="tensors of other shapes"):
        DinoV2(folder=str(folder))
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DifflabError, match="is damaged"):
        DinoV2(folder=str(folder))
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": "many"}))
    with pytest.raises(DifflabError, match="is not the configuration of a model"):
        DinoV2(folder=str(folder))
    with pytest.raises(DifflabError, match="size=100 is not a multiple of the patch, 14"):
        DinoV2(folder=str(folders["dinov2"]), size=100)


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty cache of the hub and no network."""

    def unreachable(*args, **kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    return tmp_path / "hub"


@pytest.mark.parametrize(
    ("make", "model"), [(DinoV2, "facebook/dinov2-large"), (Clip, "openai/clip-vit-large-patch14-336")]
)
def test_offline_without_a_folder_says_what_to_fetch_and_where_it_goes(offline, make, model):
    with pytest.raises(DifflabError) as error:
        make()
    message = str(error.value)
    assert f"`hf download {model} --local-dir DIR`" in message
    assert "metrics.extractor.folder=DIR" in message and "use metrics=efficientnet_lite0" in message
    assert "Name or service not known" in message and "\n" not in message


def test_the_hubs_cache_is_enough(offline, folders, dinov2):
    kept = offline / "models--facebook--dinov2-large"
    (kept / "snapshots").mkdir(parents=True)
    (kept / "snapshots" / "abc").symlink_to(folders["dinov2"])
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("abc")
    assert DinoV2().weights_sha256 == dinov2.weights_sha256


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(DifflabError, match=r"pip install 'difflab\[transformers\]'"):
        DinoV2()


def test_preprocess_keeps_a_picture_of_its_size_and_normalises_it():
    images = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    x = Preprocess(32, (0.5, 0.4, 0.3), (0.5, 1.0, 2.0), "bicubic")(images, torch.device("cpu"))
    mean, std = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1), torch.tensor([0.5, 1.0, 2.0]).view(3, 1, 1)
    assert torch.allclose(x, (images / 255 - mean) / std, atol=1e-5)
