"""A file is whole or it is the one from before."""

import json
from pathlib import Path

import pytest

from difflab.files import conf_dir, embedded_dir, replacing, write_json


def test_failure_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_folders_that_come_with_the_package_are_found() -> None:
    assert (conf_dir() / "train.yaml").is_file()
    assert (embedded_dir() / "fashion_mini").is_dir()
