"""Make an experiment's reference band from runs that differ in train.seed alone.

difflab train experiment=fashion_cosine train.total_nimg=175392 callbacks.evaluation.share=null train.seed=0  # and 1, 2
python data/build_bands.py runs/fashion_cosine/*     # a run that is still training gives its first part
"""

import argparse
from pathlib import Path

from difflab.bands import band_file
from difflab.errors import DifflabError
from difflab.runs.directory import find_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument(
        "--out", type=Path, help="the file; data/bands/<experiment>-<images>.json where it is not named"
    )
    args = parser.parse_args()
    try:
        band = band_file.content([find_run(name) for name in args.runs])
    except DifflabError as error:
        parser.error(str(error))
    out = args.out or band_file.path_of(band["experiment"], band["total_nimg"])
    band_file.write(out, band)
    print(f"{out}: {len(band['curves'])} curves of {len(args.runs)} seeds, {out.stat().st_size / 1000:.1f} KB")


if __name__ == "__main__":
    main()
