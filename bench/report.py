"""What a report costs: seconds to write, its size, and seconds until a browser shows it.

    .venv/bin/python bench/report.py

The run is made up: 1,000 logged points with 8 noise levels, and 50 grids of 64 real emoji in colour, 32x32, every
grid of other ones. Also: the size of the grids' PNG files, and plotly.js plain and packed. The browser is Debian's
chromium, without a window or a GPU; the time is the median of ROUNDS loads.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from selenium import webdriver

from difflab.data.embedded import emoji
from difflab.pixels import grid
from difflab.report import write
from difflab.report.gather import read_run
from difflab.report.pictures import grids
from difflab.report.plotly_js import library, packed

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.made_runs import made_run

POINTS, GRIDS, PICTURES, ROUNDS = 1000, 50, 64, 5
DRAWN = """
const done = arguments[0];
(function look() {
  if (document.documentElement.dataset.ready !== "true") return setTimeout(look, 5);
  requestAnimationFrame(() => setTimeout(() => done(performance.now())));
})();
"""


def timed(call: Callable[[], Any]) -> tuple[str, Any]:
    """How long a call takes, in words, and what it returns."""
    start, worked = time.perf_counter(), time.process_time()
    value = call()
    seconds, processor = time.perf_counter() - start, time.process_time() - worked
    return f"{seconds:.2f} s ({processor:.2f} s of processor time)", value


def pages() -> list[Any]:
    """Grids of real emoji, as pixels of height, width and colour."""
    pixels = emoji((3, 32, 32))[0].pixels
    chosen = (torch.randperm(len(pixels), generator=torch.Generator().manual_seed(i))[:PICTURES] for i in range(GRIDS))
    return [grid(pixels[rows]).permute(1, 2, 0).numpy() for rows in chosen]


def browser(folder: Path) -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    ):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={folder / 'chromium'}")
    return webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))


def opening(driver: webdriver.Chrome, page: Path) -> float:
    """Seconds from the start of a navigation until the first plots are drawn."""
    driver.get("about:blank")
    driver.get(page.as_uri())
    return float(driver.execute_async_script(DRAWN)) / 1000


def main() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        run = made_run(folder / "run", POINTS, pages(), f"train.total_nimg={POINTS * 64}")
        write(run)  # what is read for the first time is not counted
        seconds, page = timed(lambda: write(run))
        own, shown = timed(lambda: grids(read_run(run).grids))
        files = sum(path.stat().st_size for path in run.glob("samples/nimg*.png")) / 1e6
        held = sum(len(picture.src) for picture in shown) / 1e6
        print(f"{POINTS} points, {len(shown)} grids: {page.stat().st_size / 1e6:.2f} MB written in {seconds}")
        print(f"the grids: {held:.2f} MB in {own}; their PNG files {files:.2f} MB, ratio {held / files:.2f}")
        plain, small = len(library()) / 1e6, len(packed()) / 1e6
        print(f"plotly.js: {plain:.2f} MB, packed {small:.2f} MB, ratio {small / plain:.2f}")
        driver = browser(folder)
        times = [opening(driver, page) for _ in range(ROUNDS)]
        driver.quit()
        print(f"opens in {statistics.median(times):.2f} s (of {ROUNDS}: {min(times):.2f} to {max(times):.2f} s)")


if __name__ == "__main__":
    main()
