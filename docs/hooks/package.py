"""Lets the API reference find the package: its root is the repository's, under another name."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority

_ROOT = Path(__file__).resolve().parents[2]
_rooms: list[tempfile.TemporaryDirectory] = []  # kept until the program ends


@event_priority(100)
def on_config(config: MkDocsConfig) -> None:
    """Have mkdocstrings look where a link carries the import name."""
    if not _rooms:
        _rooms.append(tempfile.TemporaryDirectory())
        Path(_rooms[0].name, "vapipe").symlink_to(_ROOT)
    config.plugins["mkdocstrings"].config.handlers["python"]["paths"] = [_rooms[0].name]
