"""Both splits of a source, and the numbers that the data configuration owns."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from difflab.config.instantiate import build
from difflab.data import tags
from difflab.data.images import Images
from difflab.data.stream import Stream
from difflab.errors import DifflabError
from difflab.latents.cache import Stored

Source = Callable[[], tuple[Images, Images]]


class ImageData:
    """Training and validation pictures, loaded once, on first use.

    source: returns (train, val) when called.
    name, root: what is read and from where, for messages.
    shape: (channels, height, width).
    classes: names in the order of the labels; [] leaves labels out; None takes the source's own.
    captions: whether training reads captions.
    sigma_data: standard deviation of the pixels in [-1, 1]; None: not known before they are loaded.
    flip: mirror half of the training pictures.
    tags: what the tags of every caption say, such as [style, category]; [] where captions have none.
    tag_dropout: the share of the tags that training leaves out.
    batch_size: images per rank and step. seed: of order and mirroring.
    """

    def __init__(
        self,
        *,
        source: Source,
        name: str,
        shape: Sequence[int],
        classes: Sequence[str] | None,
        captions: bool,
        sigma_data: float | None,
        flip: bool,
        batch_size: int,
        seed: int,
        root: str | None = None,
        tags: Sequence[str] = (),
        tag_dropout: float = 0.0,
    ) -> None:
        if not 0 <= tag_dropout <= 1:
            raise DifflabError(f"data.tag_dropout={tag_dropout}: a share of the tags, from 0 to 1")
        self.name, self.root = name, root
        self.shape = tuple(shape)
        self.captions, self.sigma_data, self.flip = captions, sigma_data, flip
        self.batch_size, self.seed = batch_size, seed
        self.latents: Stored | None = None  # of the training pictures: what training sees of them
        self.tags, self.tag_dropout = list(tags), tag_dropout
        self._source, self._classes = source, classes
        self._splits: tuple[Images, Images] | None = None

    def setup(self) -> None:
        """Load both splits, unless that is done; DifflabError when they are not what the configuration says."""
        if self._splits is None:
            train, val = self._source()
            self._splits = self._checked(train, "train"), self._checked(val, "val")

    @property
    def train(self) -> Images:
        """The training pictures, unmirrored."""
        return self._loaded()[0]

    @property
    def val(self) -> Images:
        """Pictures that training never sees."""
        return self._loaded()[1]

    @property
    def classes(self) -> list[str]:
        """The names of the classes, [] when unlabelled."""
        return list(self._classes) if self._classes is not None else self.train.classes or []

    def stream(self, start_nimg: int = 0, rank: int = 0, world: int = 1) -> Stream:
        """What a rank is trained on, from that many images on."""
        return Stream(
            self.train, self.batch_size, self.seed, self.flip, start_nimg, rank, world, self.latents, self.tag_dropout
        )

    @property
    def prompts(self) -> tags.Prompts:
        """Every caption that training may read; none without captions."""
        return tags.Prompts(self.train.captions or [], self.tag_dropout)

    def _loaded(self) -> tuple[Images, Images]:
        self.setup()
        assert self._splits is not None
        return self._splits

    def _checked(self, images: Images, split: str) -> Images:
        """`images` with exactly the columns that the configuration asks for."""
        if not len(images):
            raise DifflabError(f"the {split} split of data set {self.name} is empty: see `difflab doctor`")
        if images.shape != self.shape:
            raise DifflabError(
                f"data.shape is {list(self.shape)}, but the {split} pictures of data set {self.name} are "
                f"{list(images.shape)}: set data.shape={str(list(images.shape)).replace(' ', '')}"
            )
        return self._captioned(self._labelled(images, split), split)

    def _labelled(self, images: Images, split: str) -> Images:
        if self._classes is not None and not len(self._classes):
            return replace(images, labels=None, classes=None)
        if self._classes is None:
            return images
        if images.labels is None:
            raise DifflabError(
                f"data.classes names {len(self._classes)} classes, but the {split} pictures of data set {self.name} "
                "have no labels: set data.classes=[]"
            )
        named, top = images.classes, int(images.labels.max())
        if top >= len(self._classes) or (named is not None and named != list(self._classes)):
            found = f"classes {named}" if named is not None else f"labels up to {top}"
            raise DifflabError(
                f"data.classes is {list(self._classes)}, but the {split} pictures of data set {self.name} have "
                f"{found}: set data.classes=null to take them from the data"
            )
        return images

    def _captioned(self, images: Images, split: str) -> Images:
        if self.captions and images.captions is None:
            raise DifflabError(
                f"data.captions is true, but the {split} pictures of data set {self.name} have no captions: "
                "set data.captions=false"
            )
        if not self.captions:
            return replace(images, captions=None)
        self._check_tags(images.captions or [], split)
        return images

    def _check_tags(self, captions: Sequence[str], split: str) -> None:
        wrong = (caption for caption in captions if len(tags.parts(caption)) != 1 + len(self.tags))
        if self.tags and (caption := next(wrong, None)) is not None:
            raise DifflabError(
                f"data.tags={self.tags} names {len(self.tags)} tags, parted by commas, but a {split} caption of data "
                f"set {self.name} is {caption!r}: set data.tags=[], or change the captions (data.source.caption)"
            )


def from_config(data: DictConfig, batch_size: int, seed: int) -> ImageData:
    """What a `data` node says: its keys are ImageData's arguments, its `source` is built on first use."""
    node = OmegaConf.to_container(data, resolve=True)
    assert isinstance(node, dict)
    keys: dict[str, Any] = {str(key): value for key, value in node.items()}
    source = keys.pop("source")
    return ImageData(source=lambda: build(source), batch_size=batch_size, seed=seed, **keys)
