"""Fixtures that the tests here share."""

from fitted import fitted, make_store, pair, planted, small  # noqa: F401
