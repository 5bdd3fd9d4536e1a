"""The W&B workspace as code: written without a key, saved with one."""

import json
import sys
from pathlib import Path

import pytest

from difflab.cli import main
from tests.wiring.test_wandb_server import server  # noqa: F401 - a fixture
from tests.wiring.wandb_server import Server


def test_without_a_key_it_is_written_and_a_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["dashboard"]) == 0
    path = Path("outputs/dashboard/difflab.json")
    assert capsys.readouterr().out.startswith(f"dashboard: {path} (no key is found: `wandb login`")
    sections = json.loads(path.read_text())["section"]["panelBankConfig"]["sections"]
    names = [
        "figures",
        "proxy figures",
        "loss",
        "loss by noise level",
        "on track",
        "samples",
        "films",
        "speed",
        "sweeps",
    ]
    assert [section["name"] for section in sections] == names


def test_json_is_the_same_each_time_and_follows_the_settings(tmp_path: Path) -> None:
    def written(*overrides: str) -> str:
        assert main(["dashboard", f"out={tmp_path / 'a.json'}", *overrides]) == 0
        return (tmp_path / "a.json").read_text()

    assert written() == written()
    assert '"final/kid_dinov2"' in written("figure=kid_dinov2")


def test_with_a_key_it_is_saved_and_the_next_one_takes_its_place(
    server: Server,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(2):
        assert main(["dashboard", "project=gallery"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == second == f"dashboard: {server.url}/tester/gallery?nw=difflab"
    (view,) = server.views.values()
    assert (view["entityName"], view["projectName"], view["displayName"]) == ("tester", "gallery", "difflab")
    assert len(json.loads(view["spec"])["section"]["panelBankConfig"]["sections"]) == 9


def test_server_that_does_not_save_it_is_one_line(
    server: Server,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    del server.answers["UpsertView2"]
    assert main(["dashboard"]) == 1
    error = capsys.readouterr().err
    assert "W&B does not save the workspace there (" in error
    assert "out=dashboard.json" in error
    assert error.count("\n") == 1


def test_missing_package_is_one_line_that_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces.workspaces", None)
    assert main(["dashboard"]) == 1
    error = capsys.readouterr().err
    assert error == (
        "difflab: dashboard needs the package `wandb-workspaces`: install it with `pip install 'difflab[dashboard]'`\n"
    )
