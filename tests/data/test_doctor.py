from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from difflab.doctor import doctor
from difflab.files import conf_dir


def config(name: str, out: Path, **changes: Any) -> DictConfig:
    cfg = OmegaConf.create({"data": OmegaConf.load(conf_dir() / f"data/{name}.yaml"), "seed": 0, "out": str(out)})
    for key, value in changes.items():
        cfg.data[key] = value
    return cfg


def test_shows_what_would_be_fed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doctor(config("emoji", tmp_path))
    text = capsys.readouterr().out
    for part in ("4,711 pictures", "507 pictures", "3 x 32 x 32", "Food & Drink", "0.597 configured"):
        assert part in text
    assert "warning" not in text
    preview = tmp_path / "emoji.png"
    assert text.splitlines()[-1] == f"preview: {preview}"
    with Image.open(preview) as picture:
        assert picture.size == (512, 512)


def test_warns_of_another_deviation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doctor(config("fashion_mini", tmp_path, sigma_data=0.5))
    assert "set data.sigma_data=0.664" in " ".join(capsys.readouterr().out.split())


def test_a_folder_with_names_that_look_like_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(4):
        path = tmp_path / f"pictures/[red]/{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (i, 0, 0)).save(path)
    doctor(config("folder", tmp_path, root=str(tmp_path / "pictures"), shape=[3, 8, 8]))
    assert "[red]" in capsys.readouterr().out
