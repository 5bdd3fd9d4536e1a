"""docs/algebra.md quotes lines of code: each stands in the file it names, and every part of conf/ is on the page."""

import re
from pathlib import Path

import pytest

import difflab
from difflab.files import conf_dir

PAGE = (Path(__file__).parents[2] / "docs" / "algebra.md").read_text()
ROW = re.compile(r"^\| (?P<name>.+?) \| .+ \| `(?P<line>[^`]+)` \| `(?P<file>[\w/]+\.py)` \|", re.MULTILINE)
ROWS = [(m["name"], m["line"], m["file"]) for m in ROW.finditer(PAGE)]
SOURCE = Path(difflab.__file__).parent


@pytest.mark.parametrize(("name", "line", "file"), ROWS, ids=lambda x: x if x.endswith(".py") else None)
def test_quoted_line_stands_in_its_file(name: str, line: str, file: str) -> None:
    lines = [text.strip() for text in (SOURCE / file).read_text().splitlines()]
    assert line in lines, f"{name}: {line}"


def test_every_row_of_the_page_is_checked() -> None:
    rows = [text for text in PAGE.splitlines() if text.startswith("| ") and ".py`" in text]
    assert len(rows) == len(ROWS) > 50


@pytest.mark.parametrize(
    "group", ["schedule", "prediction", "weighting", "times", "sampler", "grid", "guidance", "task"]
)
def test_every_option_is_on_the_page(group: str) -> None:
    # Names that are one formula with other numbers, or that change nothing.
    same = {"ddpm1000_": "ddpm1000", "shifted_": "shifted", "ddpm_": "ddpm", "autoguidance": "autoguidance"}
    words = set(re.findall(r"[a-z0-9_]+", PAGE)) | {"none"}
    for path in (conf_dir() / group).glob("*.yaml"):
        name = next((word for start, word in same.items() if path.stem.startswith(start)), path.stem)
        assert name in words or name.removeprefix("dpmpp_") in words, path.stem
