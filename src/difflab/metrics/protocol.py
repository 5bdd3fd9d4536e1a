"""A figure is a value with the protocol by which it was made: the one without the other says nothing."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

Entry = str | int | float | None
_IN_PLACE = (
    "n", "reference", "reference_n", "reference_digest", "extractor", "weights_sha256", "resize", "sampler",
    "nfe", "warning", "source_digest", "pictures_digest",
)  # fmt: skip
# What says how the samples were made, not how they were measured; and what only comments.
_OF_THE_SAMPLES = frozenset((
    "sampler", "grid", "guidance", "nfe", "weights", "nimg", "run", "seed", "role", "reference", "warning", "p",
))  # fmt: skip
_OF_THE_SAMPLER = ("sampler", "grid", "guidance", "nfe", "weights", "ema_halflife_nimg", "sample_seed")
_OF_THE_SAMPLES_TOO = ("source", "sample_", "ema")
_RESULTS = ("_std", "_95_low", "_95_high")  # that a measure gives beside its value


@dataclass(frozen=True)
class Figure:
    """One measured value, its standard error or spread (None: not known), and how it was made.

    `protocol` holds n, reference, reference_n, reference_digest, flips, extractor, weights_sha256, resize and seed,
    whatever the caller adds (sampler, nfe, guidance, ema), and `warning` where the value is known to mislead.
    """

    name: str
    value: float
    error: float | None
    protocol: dict[str, Entry]

    def to_json(self) -> dict[str, Any]:
        """What result.json holds."""
        return {"name": self.name, "value": self.value, "error": self.error, "protocol": self.protocol}

    @staticmethod
    def from_json(found: dict[str, Any]) -> "Figure":
        """Raises KeyError where it is no figure."""
        return Figure(found["name"], found["value"], found["error"], found["protocol"])

    def __str__(self) -> str:
        return f"{self._number()} ({self.how}){self._warning()}"

    @property
    def how(self) -> str:
        """The protocol in words."""
        return ", ".join(_parts(self.protocol))

    def line(self, known: Mapping[str, Entry]) -> str:
        """The figure under a headline that says what is `known` of its protocol."""
        own = self.own(known)
        return f"  {self._number()}{f' ({own})' if own else ''}{self._warning()}"

    def own(self, known: Mapping[str, Entry]) -> str:
        """What the protocol says beyond what is `known`."""
        entries = (entry for entry in self.protocol.items() if entry[0] not in known and entry[0] != "warning")
        return ", ".join(f"{key}={value}" for key, value in entries)

    def _number(self) -> str:
        return f"{self.name} {self.value:.4g}{'' if self.error is None else f' ± {self.error:.2g}'}"

    def _warning(self) -> str:
        return f" WARNING: {self.protocol['warning']}" if self.protocol.get("warning") else ""


@dataclass(frozen=True)
class Together:
    """Figures of the same samples, and what their protocols share."""

    figures: list[Figure]
    known: dict[str, Entry]

    @property
    def headline(self) -> str:
        """What is known of all of them, in words."""
        return ", ".join(_parts(self.known))


def by_samples(figures: Iterable[Figure]) -> Iterator[Together]:
    """Figures in a row that are of the same samples."""
    for _, group in groupby(figures, key=lambda figure: [figure.protocol.get(key) for key in ("n", "source", "role")]):
        together = list(group)
        shared = dict(set.intersection(*(set(figure.protocol.items()) for figure in together)))
        first = together[0].protocol.items()
        yield Together(together, {key: value for key, value in first if key in shared and key != "warning"})


def lines(figures: Iterable[Figure]) -> Iterator[str]:
    """For the terminal: figures of the same samples below one headline, what they share of their protocols."""
    for together in by_samples(figures):
        yield f"{together.headline}:"
        yield from (figure.line(together.known) for figure in together.figures)


def _parts(p: Mapping[str, Entry]) -> list[str]:
    parts = [f"n={p.get('n')}" + (f" vs {p['reference']} {p.get('reference_n')}" if "reference" in p else "")]
    if "extractor" in p:
        parts += [f"{p['extractor']}@{str(p.get('weights_sha256'))[:8]}", str(p.get("resize"))]
    parts += [f"{p['sampler']} {p.get('nfe') or 'any'} NFE"] if "sampler" in p else []
    rest = (key for key in p if key not in _IN_PLACE and p[key] is not None)
    return parts + [f"{key}={p[key]}" for key in rest]


def differences(a: Figure, b: Figure) -> dict[str, tuple[Entry, Entry]]:
    """What keeps two figures from being compared: each differing entry with both values; empty where nothing does.

    The samples' own story may differ (sampler, nfe, guidance, weights, seeds, nimg ...): it is what is compared.
    What measures may not: name, n, extractor, weights_sha256, resize, the reference's content and flips, and the
    measure's own numbers.
    """
    name: dict[str, tuple[Entry, Entry]] = {} if a.name == b.name else {"name": (a.name, b.name)}
    keys = (key for key in dict.fromkeys([*a.protocol, *b.protocol]) if _measures(key))
    pairs = {key: (a.protocol.get(key), b.protocol.get(key)) for key in keys}
    return name | {key: (x, y) for key, (x, y) in pairs.items() if x != y}


def differences_of_one_run(a: Figure, b: Figure) -> dict[str, tuple[Entry, Entry]]:
    """What keeps two figures from choosing between the weights of one run: `differences`, and how they were sampled."""
    pairs = {key: (a.protocol.get(key), b.protocol.get(key)) for key in _OF_THE_SAMPLER}
    return differences(a, b) | {key: (x, y) for key, (x, y) in pairs.items() if x != y}


def settings(protocol: Mapping[str, Entry]) -> dict[str, Entry]:
    """A protocol without what changes from one figure of a run to the next."""
    return {key: value for key, value in protocol.items() if key != "nimg" and not key.endswith(_RESULTS)}


def in_words(differing: dict[str, tuple[Entry, Entry]]) -> str:
    """`n 64 / 2048, resize ...`: what `differences` found, hashes by their first digits."""
    return ", ".join(f"{key} {_short(x)} / {_short(y)}" for key, (x, y) in differing.items())


def _measures(key: str) -> bool:
    return not (key in _OF_THE_SAMPLES or key.startswith(_OF_THE_SAMPLES_TOO) or key.endswith(_RESULTS))


def _short(value: Entry) -> str:
    text = "none" if value is None else str(value)
    return text[:8] if len(text) == 64 else text
