"""`vapipe check`: whether a device computes what the CPU does."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from .console import ERROR, device_option, say

if TYPE_CHECKING:
    from ..device_check import Comparison


@click.command()
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print a list of JSON objects.")
def check(device: str, as_json: bool) -> None:
    """Compare a device with the CPU: every encoder and head, detection beside a running encoder.

    Differences are parts of the largest value; more than 0.001 is a disagreement (exit code 1).
    Where weights are not here, networks get generated ones; an encoder whose optional package is
    not installed is left out. Before a large run on a new GPU or a
    new driver, a minute well spent.
    """
    from ..device import choose_device, describe_device
    from ..device_check import check_device

    found: list[Comparison] = []
    place = choose_device(device)
    if not as_json:
        click.echo(f"{describe_device(place)} against the CPU, in float32")
        click.echo(f"{'':20}{'difference':>11}{'per second':>12}")
    for each in check_device(device):
        found.append(each)
        if not as_json:
            click.echo(_line(each))
    if as_json:
        click.echo(json.dumps([_plain(each) for each in found], indent=1))
    compared = [each for each in found if each.installed]
    bad = [each.what for each in compared if not each.agrees]
    if bad:
        say(f"error: device {place} gives other values for {', '.join(bad)}", err=True)
        sys.exit(ERROR)
    if not as_json:
        left = len(found) - len(compared)
        click.echo(f"all {len(compared)} agree" + f"; {left} not compared" * bool(left))


def _line(each: Comparison) -> str:
    if not each.installed:
        return f"{each.what:20}{'-':>11}{'-':>12}  not compared: {each.remark}"
    shown = "-" if each.difference is None else f"{each.difference:.1e}"
    line = f"{each.what:20}{shown:>11}{each.speed:>12,.0f}  {each.remark}".rstrip()
    return line if each.agrees else f"{line}  DISAGREES"


def _plain(each: Comparison) -> dict[str, Any]:
    known = each.difference is not None and math.isfinite(each.difference)
    return {
        **asdict(each),
        "difference": each.difference if known else None,
        "agrees": each.agrees if each.installed else None,
    }
