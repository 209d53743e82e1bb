"""Fixtures that the tests here share."""

from extracted import cache, runs, videos  # noqa: F401
