"""`vapipe cache report`: one HTML page about a cache, to look at offline."""

from __future__ import annotations

from pathlib import Path

import click

from .console import cache_option, progress_lines


@click.command("report")
@cache_option
@click.option(
    "--videos",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of the videos, for faces on the contact sheets.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default="cache-report.html",
    show_default=True,
    help="The page.",
)
@click.option(
    "--sheets",
    type=click.IntRange(0, 200),
    default=24,
    show_default=True,
    help="Contact sheets at most, of the items with the fewest usable rows.",
)
def cache_report(cache: Path, videos: Path | None, out: Path, sheets: int) -> None:
    """Write a page about the cache: coverage, detection, times, labels, faces and sound.

    Faces are cropped anew from the videos, with the code and options that the features were made
    with; that takes some seconds per sheet.
    """
    from ..cache.overview import look_over
    from ..cache.store import FeatureStore
    from ..extract.contact import choose_crops, choose_items, make_sheets, not_extracted
    from ..extract.failures import read_failures
    from ..page import write_page
    from .cache import size
    from .cache_page import make_page

    with progress_lines(1, "reading the cache") as step:
        overview = look_over(cache, lambda total: step(1 / total, "", "reading the cache"))
    failures = {video: failure.reason for video, failure in read_failures(cache).items()}
    unknown = not_extracted(videos, overview) if videos else []
    crops = choose_crops(overview)
    items = choose_items(overview, crops.unit, sheets)
    made = []
    with progress_lines(len(items), "contact sheets") as step:
        for sheet in make_sheets(FeatureStore.open(cache), overview, items, crops, videos):
            made.append(sheet)
            step(1, f"{sheet.item}: {sheet.note}" if videos and sheet.note else "", sheet.item)
    faces = any(sheet.faces for sheet in made)
    page = make_page(
        overview,
        made,
        faces_of=crops.unit.stream if crops.unit and faces else "",
        failures=failures,
        unknown=unknown,
    )
    nbytes = write_page(out, page)
    click.echo(
        f"{out}: {len(overview.items)} item(s), {len(overview.units)} stream(s), "
        f"{len(made)} contact sheet(s){'' if faces or not made else ' without faces'}, "
        f"{size(nbytes)}; open it in a browser"
    )
    if made and not faces and not videos:
        click.echo("next: --videos DIR puts faces on the sheets")
