"""From what was gathered to one HTML file that asks for nothing else."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from difflab.metrics.protocol import Figure
from difflab.report.plotly_js import packed
from difflab.report.points import finite

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Fact:
    """A number of the headline."""

    name: str
    value: str
    note: str = ""


def number(value: int | float) -> str:
    """Four digits, as everywhere; what is not finite is named."""
    return f"{value:.4g}"


def error_of(figure: Figure) -> str:
    error = finite(figure.error)
    return "" if error is None else f"± {error:.2g}"


def rendered(template: str, beside: Path, **context: Any) -> str:
    def link(path: Path) -> str:
        return quote(os.path.relpath(path, beside))

    own = {"css": _text("style.css"), "js": _text("report.js"), "plotly": Markup(packed())}
    return _environment().get_template(template).render(version=version("difflab"), link=link, **own, **context)


@cache
def _environment() -> Environment:
    """Autoescape is on: settings, messages and names of files are anybody's text."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"number": number, "error": error_of, "json": _json}
    found.tests["mapping_of_settings"] = lambda value: isinstance(value, Mapping)
    return found


def _json(value: Any) -> Markup:
    """For a script element: no character in it can end the element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _text(name: str) -> Markup:
    """A file that comes with the package."""
    return Markup((TEMPLATES / name).read_text())
