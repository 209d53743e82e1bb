"""Writes a page: everything escaped, every script named by its digest in the page's policy."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import string
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cache.durable import write_bytes

if TYPE_CHECKING:
    import numpy as np

_BLOCK_NAME = re.compile(r"[a-z0-9-]+")
# What would end a script element, or open a comment inside it.
_ENDS_SCRIPT = re.compile(r"</script|<!--", re.IGNORECASE)
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


@dataclass(frozen=True)
class Asset:
    """A file that a package carries: `Asset("vapipe.reports", "shell.js")`."""

    package: str
    name: str

    def text(self) -> str:
        """What is in it."""
        return (files(self.package) / self.name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Page:
    """What a page consists of.

    Attributes:
        title: any text; also the heading.
        body: HTML that the package carries, inserted as it is; never anything from a user.
        data: JSON values, any text in them; `data` in scripts.
        blocks: name (small letters, digits, dashes) -> `pack_array`; decoded when a script asks.
        scripts: one module together with `shell.js`, which comes first.
        plotly: whether plotly is embedded (about 5 MB). It runs when the first figure is asked
            for, so that the rest of the page can be read at once.
        media: whether the page may play files that lie beside it.
    """

    title: str
    body: Asset
    data: Mapping[str, Any]
    scripts: Sequence[Asset]
    blocks: Mapping[str, str] = field(default_factory=dict)
    plotly: bool = True
    media: bool = False

    def render(self) -> str:
        """The whole document.

        Raises:
            ValueError: a value that JSON does not have (NaN), a block's name, or a script that
                would end its element.
        """
        assets = [Asset(__package__, "shell.js"), *self.scripts]
        script = "\n".join(asset.text() for asset in assets)
        library = ""
        if self.plotly:
            from plotly.offline import get_plotlyjs

            library = get_plotlyjs()
        for text in (library, script):
            if _ENDS_SCRIPT.search(text):
                raise ValueError("a script must not contain the end of a script element")
        return string.Template(Asset(__package__, "shell.html").text()).substitute(
            policy=html.escape(_policy([library, script], media=self.media)),
            title=html.escape(self.title),
            style=Asset(__package__, "style.css").text(),
            body=self.body.text(),
            data=embed_json(self.data),
            blocks="\n".join(_block(name, text) for name, text in self.blocks.items()),
            plotly=library,
            script=script,
        )


def write_page(path: Path, page: Page) -> int:
    """Write a page durably; its size in bytes.

    Raises:
        ValueError: as `Page.render`.
    """
    document = page.render().encode("utf-8", "backslashreplace")
    write_bytes(path, document)
    return len(document)


def embed_json(value: Any) -> str:
    """JSON that can stand in a script element whatever its strings contain; ASCII only."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return re.sub("[<>&]", lambda match: _ESCAPES[match[0]], text)


def pack_array(values: np.ndarray) -> str:
    """An array for `Page.blocks`: little-endian values in C order, deflated, in base64."""
    little = values.astype(values.dtype.newbyteorder("<"), order="C", copy=False)
    return base64.b64encode(zlib.compress(little.tobytes(), 6)).decode()


def _block(name: str, text: str) -> str:
    if not _BLOCK_NAME.fullmatch(name):
        raise ValueError(f"a block's name has small letters, digits and dashes; got {name!r}")
    return f'<script type="text/plain" id="block-{name}">{text}</script>'


def _policy(scripts: Sequence[str], *, media: bool) -> str:
    """Forbid everything but these scripts, styles inside the page, and files beside it."""
    digests = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts)
    rules = [
        "default-src 'none'",
        "script-src " + " ".join(f"'sha256-{digest}'" for digest in digests),
        "style-src 'unsafe-inline'",
        "img-src data: blob:",
        "media-src " + ("'self' file:" if media else "'none'"),
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return "; ".join(rules)
