"""plotly.js as the page carries it: packed, which makes it a third; the browser unpacks it."""

import gzip
from base64 import b64encode
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def packed() -> str:
    """gzip in base64; read beside the package, whose import would take longer than the packing."""
    spec = find_spec("plotly")
    assert spec is not None
    assert spec.origin is not None
    library = (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_bytes()
    return b64encode(gzip.compress(library, compresslevel=6, mtime=0)).decode()
