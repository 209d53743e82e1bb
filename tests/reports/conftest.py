"""Fixtures that the tests here share."""

from extracted import cache, videos  # noqa: F401
from fitted import fitted, planted, small  # noqa: F401
