"""Fixtures that the tests here share."""

from fitted import fitted, make_store, planted, small  # noqa: F401
