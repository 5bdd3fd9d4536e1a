"""An installed wheel works in an empty folder, far from the repository."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked where only PYTHONPATH leads."""
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(REPOSITORY)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(out / "site")
    return out / "site"


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """difflab out of the wheel; -P keeps the current folder off the path."""
    code = "import sys, difflab.cli as cli; print(cli.__file__); sys.exit(cli.main(sys.argv[1:]))"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-P", "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)


@pytest.mark.slow
def test_wheel_trains_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "train", "experiment=smoke", "train.total_nimg=128", "metrics=none")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(installed))
    folder = done.stdout.splitlines()[-1].removeprefix("run: ")
    assert (tmp_path / folder / "result.json").is_file()
    assert "<h1>smoke</h1>" in (tmp_path / folder / "report.html").read_text()


def test_wheel_samples_by_the_model_it_brings(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "sample", "from=emoji_text", "prompt=crying cat, noto style", "n=2", "nfe=6")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / done.stdout.splitlines()[-1].removeprefix("samples: ")
    assert folder.parent == tmp_path / "outputs" / "emoji_text" / "sampled"
    assert {"000000.png", "000001.png", "grid.png", "samples.json", "words.txt"} == {p.name for p in folder.iterdir()}


def test_wheel_holds_configuration_data_and_licences(installed: Path) -> None:
    assert (installed / "difflab" / "conf" / "train.yaml").is_file()
    assert (installed / "difflab" / "embedded" / "fashion_mini" / "LICENSE").is_file()
    assert (installed / "difflab" / "embedded" / "emoji" / "emoji.npz").is_file()
    templates = installed / "difflab" / "report" / "templates"
    assert {"base.html.j2", "run.html.j2", "style.css", "report.js"} <= {path.name for path in templates.iterdir()}
    assert (installed / "difflab" / "embedded" / "bands" / "smoke-2048.json").is_file()
    assert list(installed.glob("*.dist-info/licenses/LICENSE"))
