"""Plug-ins that a test loads are forgotten after it."""

import pytest

from vapipe import plugins
from vapipe.extract.encoders import registry as encoders
from vapipe.fusion.heads import registry as heads


def forget_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without plug-ins named, and have those forgotten that are loaded from now on."""
    monkeypatch.setenv(plugins.VARIABLE, "")
    held = ((encoders, "_ENCODERS"), (heads, "_HEADS"), (plugins, "_loaded"), (plugins, "_digests"))
    for module, name in held:
        monkeypatch.setattr(module, name, dict(getattr(module, name)))
