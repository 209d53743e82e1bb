"""The first thing that anybody types works, and shows what fusion is for."""

import re

import pytest
from terminal import vapipe_


@pytest.mark.slow  # four minutes on two cores
def test_the_demo_learns_and_leaves_a_report(tmp_path):
    result = vapipe_("demo", "--folder", tmp_path / "demo")
    assert result.exit_code == 0, result.output
    evaluated = result.stdout[result.stdout.index("$ vapipe evaluate") :]
    mean = re.search(r"mean\s+(0\.\d+)", evaluated)
    assert mean, evaluated
    assert float(mean[1]) > 0.7
    page = tmp_path / "demo" / "runs" / "grjca-1" / "report.html"
    assert page.stat().st_size > 1e6  # the plotting library is in it
    assert str(page) in result.stdout
