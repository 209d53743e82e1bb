"""Fixtures that the tests here share."""

from extracted import cache, videos  # noqa: F401
from fitted import fitted, planted, small  # noqa: F401
from report_pages import both as both
from report_pages import opened as opened
from report_pages import page as page
from report_pages import place as place
