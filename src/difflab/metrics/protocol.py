"""A figure is a value with the protocol by which it was made: the one without the other says nothing."""

from dataclasses import dataclass
from typing import Any

Entry = str | int | float | None
_IN_PLACE = (
    "n", "reference", "reference_n", "reference_digest", "extractor", "weights_sha256", "resize", "sampler",
    "nfe", "warning",
)  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """One measured value, its standard error or spread (None: not known), and how it was made.

    `protocol` holds n, reference, reference_n, reference_digest, extractor, weights_sha256, resize and seed,
    whatever the caller adds (sampler, nfe, guidance, ema), and `warning` where the value is known to mislead.
    """

    name: str
    value: float
    error: float | None
    protocol: dict[str, Entry]

    def to_json(self) -> dict[str, Any]:
        """What result.json holds."""
        return {"name": self.name, "value": self.value, "error": self.error, "protocol": self.protocol}

    def __str__(self) -> str:
        error = "" if self.error is None else f" ± {self.error:.2g}"
        warning = f" WARNING: {self.protocol['warning']}" if self.protocol.get("warning") else ""
        return f"{self.name} {self.value:.4g}{error} ({', '.join(self._parts())}){warning}"

    def _parts(self) -> list[str]:
        p = self.protocol
        parts = [f"n={p.get('n')} vs {p.get('reference')} {p.get('reference_n')}"]
        parts += [f"{p.get('extractor')}@{str(p.get('weights_sha256'))[:8]}", str(p.get("resize"))]
        parts += [f"{p['sampler']} {p.get('nfe') or 'any'} NFE"] if "sampler" in p else []
        rest = (key for key in p if key not in _IN_PLACE and p[key] is not None)
        return parts + [f"{key}={p[key]}" for key in rest]
