"""The reference band of a run's experiment, and where the run lies in it."""

from difflab.bands import comparable as bands
from difflab.bands.verdict import Verdict, judge
from difflab.report.curves import Bands
from difflab.report.gather import Found


def reference(found: Found) -> tuple[Bands, Verdict | None]:
    """Bands by row, with the verdict; none where other settings, or no seeds, were trained."""
    band = bands.of(found.cfg)
    return ({}, None) if band is None else (band.curves, judge(band, found.rows, found.cfg))
