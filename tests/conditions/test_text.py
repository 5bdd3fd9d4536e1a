"""The text that is trained along: what a caption means, and when it means nothing."""

import pytest
import torch

from difflab.conditions.base import Told
from difflab.conditions.text import TextLearned

CAPTIONS = ["crying cat, noto style", "cat", "", "a man on a horse", "a horse on a man"]


@pytest.fixture(scope="module")
def text() -> TextLearned:
    torch.manual_seed(0)
    return TextLearned(
        vector=24, tokens=32, channels=0, layers=2, heads=4, words=6, ngrams=12, buckets=512, dropout=0.1
    ).eval()


def told(text: TextLearned, *captions: str) -> Told:
    with torch.no_grad():
        return text(text.of_captions(captions))


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
    given = text.of_captions(["cat", "", " , "])
    assert given.null.tolist() == [False, True, True]
    nothing = text.null(3, given.values)
    assert nothing.null.all()
    with torch.no_grad():
        null, here = text(nothing), text(given)
        dropped = text(given._replace(null=torch.ones(3, dtype=torch.bool)))
    for a, b, c in zip(null[:3], dropped[:3], here[:3], strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a[1:].float(), c[1:].float(), rtol=1e-5, atol=1e-6)
    assert (null.vector[0] - here.vector[0]).abs().max() > 1e-3


def test_the_null_condition_is_trained_by_its_own_rows_alone(text: TextLearned) -> None:
    text(text.of_captions([""])).vector.sum().backward()
    assert text.embed.weight.grad is None or not text.embed.weight.grad.any()
    assert text.whole.grad is not None and text.whole.grad.any()
    text.zero_grad()


def test_unseen_words_are_near_their_relatives() -> None:
    """Before any training: by the embeddings that they share, 3 of 6 and of 8 n-grams."""
    torch.manual_seed(0)
    text = TextLearned(
        vector=8, tokens=512, channels=0, layers=0, heads=1, words=4, ngrams=32, buckets=4096, dropout=0.0
    )
    with torch.no_grad():
        cats, cat, dog, _ = torch.nn.functional.normalize(text.embed(text.of_captions(["cats cat dog"]).values[0]))
    assert (cats @ cat).item() == pytest.approx(3 / 48**0.5, abs=0.1)
    assert (dog @ cat).item() == pytest.approx(0, abs=0.1)
