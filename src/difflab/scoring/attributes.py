"""What pictures show, as far as their captions' tags or their labels say it."""

from collections.abc import Sequence

from difflab.data import tags
from difflab.data.image_data import ImageData
from difflab.data.images import Images
from difflab.errors import DifflabError


def shown(images: Images, data: ImageData) -> dict[str, list[str]]:
    """A word a picture for each of data.tags; of data without tags, the class.

    images: some of the data's. Raises DifflabError for pictures with neither.
    """
    if data.tags and images.captions is not None:
        return _columns(images.captions, data.tags)
    if images.labels is not None and data.classes:
        return {"label": [data.classes[i] for i in images.labels.tolist()]}
    raise DifflabError(
        f"data set {data.name} has neither data.tags nor data.classes: nobody knows what its pictures show"
    )


def _columns(captions: Sequence[str], names: Sequence[str]) -> dict[str, list[str]]:
    rows = [tags.parts(caption)[1:] for caption in captions]
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}
