"""What the README and docs/ tell a user to type can be typed, and where they point is something."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from difflab import cli
from difflab.config.compose import compose
from difflab.runs.directory import Run

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
A_RUN = re.compile(r"\b(RUN(_[A-Z]+)*|OTHER_RUN|runs/\w+/<\w+>)")
NEEDS = {"label=": "fashion_label", "prompt": "emoji_text"}


def commands(program: str) -> list[str]:
    """All that the pages have in a block of code, whole, without the remark at its end."""
    found = []
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        found += re.findall(rf"^    ({program} .*?)(?:\s+#.*)?$", text, re.MULTILINE)
    return sorted(set(found))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For each experiment that the commands are about, a folder with its configuration alone."""
    folder = tmp_path_factory.mktemp("runs")
    for experiment in {"fashion_cosine", *NEEDS.values()}:
        Run(folder / experiment).write_config(compose("train", [f"experiment={experiment}"]))
    return folder


@pytest.mark.parametrize("command", commands("difflab"))
def test_what_a_page_says_to_type_is_composed(
    command: str, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "their_samples").mkdir()
    experiment = next((name for word, name in NEEDS.items() if word in command), "fashion_cosine")
    words = shlex.split(A_RUN.sub(str(runs / experiment), command))[1:]
    if "resume=" in command:
        words = [word for word in words if not word.startswith("resume=")]
    assert cli.main([*words, "--cfg"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("command", commands("make"))
def test_make_has_the_target_and_the_variables(command: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    _, target, *words = shlex.split(command)
    assert re.search(rf"^{target}:.*##", makefile, re.MULTILINE)
    for word in words:
        assert f"$({word.split('=')[0]})" in makefile


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = [link for link in links(page) if not leads_somewhere(page, link)]
    assert broken == []


def links(page: Path) -> Iterator[str]:
    text = page.read_text()
    yield from re.findall(r"\]\((?!https?:)([^)\s]+)\)", text)
    yield from re.findall(r'src="([^"]+)"', text)


def leads_somewhere(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    return target.exists() and (not anchor or anchor in anchors(target))


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_names_every_experiment() -> None:
    readme = (ROOT / "README.md").read_text()
    experiments = {path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")}
    assert {name for name in experiments if f"| `{name}` |" not in readme} == set()
