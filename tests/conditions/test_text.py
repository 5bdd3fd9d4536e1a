"""The text that is trained along: what a caption means, and when it means nothing."""

from dataclasses import replace

import pytest
import torch

from difflab.conditions.base import Told
from difflab.conditions.learned import TextLearned
from difflab.errors import DifflabError

CAPTIONS = ["crying cat, noto style", "cat", "", "a man on a horse", "a horse on a man"]


@pytest.fixture(scope="module")
def text() -> TextLearned:
    torch.manual_seed(0)
    told = {"vector": 24, "tokens": 32}
    return TextLearned(told, dropout=0.1, layers=2, heads=4, words=6, ngrams=12, buckets=512).eval()


def told(text: TextLearned, *captions: str) -> Told:
    with torch.no_grad():
        return text(text.ask(captions))


def test_a_caption_is_a_vector_and_a_token_a_word(text: TextLearned) -> None:
    vector, tokens, mask, picture = told(text, *CAPTIONS)
    assert vector is not None and tokens is not None and mask is not None and picture is None
    assert vector.shape == (5, 24)
    assert tokens.shape == (5, 7, 32)
    assert mask.sum(1).tolist() == [5, 2, 1, 6, 6]  # the whole, and the words
    assert (tokens[~mask] == 0).all()


def test_a_caption_means_the_same_in_any_batch(text: TextLearned) -> None:
    together = told(text, *CAPTIONS)
    for i, caption in enumerate(CAPTIONS):
        for whole, alone in zip(together[:3], told(text, caption)[:3], strict=True):
            torch.testing.assert_close(alone[0].float(), whole[i].float(), rtol=1e-5, atol=1e-6)


def test_the_order_of_words_matters(text: TextLearned) -> None:
    vector = told(text, *CAPTIONS).vector
    assert (vector[3] - vector[4]).abs().max() > 1e-3


def test_an_empty_prompt_is_no_condition(text: TextLearned) -> None:
    given = text.of_batch({"caption": ["cat", "", " , "]})
    assert given.null.tolist() == [False, True, True]
    assert given.words == ["cat", "", ""]
    nothing = text.null(3)
    assert nothing.null.all()
    with torch.no_grad():
        null, here = text(nothing), text(given)
        dropped = text(replace(given, null=torch.ones(3, dtype=torch.bool)))
    for a, b, c in zip(null[:3], dropped[:3], here[:3], strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a[1:].float(), c[1:].float(), rtol=1e-5, atol=1e-6)
    assert (null.vector[0] - here.vector[0]).abs().max() > 1e-3


def test_the_null_condition_is_trained_by_its_own_rows_alone(text: TextLearned) -> None:
    text(text.ask([""])).vector.sum().backward()
    assert text.embed.weight.grad is None or not text.embed.weight.grad.any()
    assert text.whole.grad is not None and text.whole.grad.any()
    text.zero_grad()


def test_unseen_words_are_near_their_relatives() -> None:
    """Before any training: by the embeddings that they share, 3 of 6 and of 8 n-grams."""
    torch.manual_seed(0)
    told = {"vector": 8, "tokens": 512}
    text = TextLearned(told, dropout=0.0, layers=0, heads=1, words=4, ngrams=32, buckets=4096)
    with torch.no_grad():
        cats, cat, dog, _ = torch.nn.functional.normalize(text.embed(text.read(["cats cat dog"])[0]))
    assert (cats @ cat).item() == pytest.approx(3 / 48**0.5, abs=0.1)
    assert (dog @ cat).item() == pytest.approx(0, abs=0.1)


def test_words_that_cannot_be_read_are_refused(text: TextLearned) -> None:
    with pytest.raises(DifflabError, match=r"prompt=\?!: there is no letter and no digit in it"):
        text.ask(["cat", "?!"])
    with pytest.raises(DifflabError, match=r"condition\.told\.tokens=9 is not a multiple of condition\.heads=2"):
        TextLearned({"vector": 4, "tokens": 9}, dropout=0.0, layers=1, heads=2, words=4, ngrams=4, buckets=8)
    with pytest.raises(DifflabError, match=r"needs captions, .* such as data=emoji"):
        text.of_batch({"x0": torch.zeros(2, 1, 4, 4)})
