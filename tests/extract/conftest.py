"""Fixtures that the tests of downloads share."""

from fetching import direct, listed, server  # noqa: F401
