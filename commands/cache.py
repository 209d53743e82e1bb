"""`vapipe cache`: look at, check, tidy, and move features."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click
from click.core import ParameterSource

from ..errors import ConfigError, counted
from .console import PARTLY, cache_option, say, size
from .progress import progress_lines


@click.group()
def cache() -> None:
    """Look at, check and tidy the feature cache."""


@cache.command()
@cache_option
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def status(cache: Path, as_json: bool) -> None:
    """Show what the cache holds, what is missing or stale, and what is damaged."""
    from ..cache.status import cache_status
    from ..extract.failures import read_failures

    found, failures = cache_status(cache), read_failures(cache)
    failed = {each.video: each.reason for each in failures.values()}
    if as_json:
        click.echo(json.dumps({**asdict(found), "failed": failed}, indent=2))
        return
    say(
        f"{found.path}: {counted(found.videos, 'video')}, {counted(found.items, 'item')}, "
        f"{counted(found.frames, 'frame')}, "
        f"{found.seconds / 60:.1f} min, {size(found.nbytes)}"
    )
    parts = ", ".join(f"{count} {name}" for name, count in sorted(found.partitions.items()))
    say(f"labels: {parts or 'none'}")
    say(f"{'stream':24s} {'dim':>5s} {'present':>8s} {'missing':>8s} {'stale':>6s} size")
    for stream in found.streams:
        name = f"{stream.stream}@{stream.key[:8]}"
        note = "" if stream.current else "  (not of the last extraction)"
        say(
            f"{name:24s} {stream.dim:5d} {stream.present:8d} {stream.missing:8d} "
            f"{stream.stale:6d} {size(stream.nbytes)} in {counted(stream.shards, 'shard')}{note}"
        )
    for path, reason in found.damaged.items():
        say(f"damaged: {path}: {reason}")
    for video, reason in failed.items():
        say(f"failed: {video}: {reason}")
    if found.quarantine:
        say(f"{counted(len(found.quarantine), 'shard')} in quarantine")


@cache.command()
@cache_option
@click.option("--repair", is_flag=True, help="Move damaged shards aside, to be extracted again.")
def verify(cache: Path, repair: bool) -> None:
    """Check every byte against its digest, and every length against the timelines."""
    from ..cache.layout import check_cache
    from ..cache.verify import verify_cache

    check_cache(cache)
    count = bad = 0
    for finding in verify_cache(cache, repair=repair):
        count += 1
        if finding.problem:
            bad += 1
            moved = f"; moved to {finding.moved_to}" if finding.moved_to else ""
            if finding.saved_to:
                moved += f", its undamaged items copied to {finding.saved_to.name}"
            say(f"{finding.path}: {finding.problem}{moved}")
    say(f"{counted(count, 'shard')} checked, {bad} with problems")
    if bad:
        say(
            "next: vapipe extract"
            if repair
            else "next: vapipe cache verify --repair, then vapipe extract"
        )
        sys.exit(PARTLY)


@cache.command()
@cache_option
@click.option(
    "--max-size", type=click.IntRange(1), default=2048, show_default=True, help="MiB of a pack."
)
@click.option("--compress", is_flag=True, help="Compress the packs: for archives, slow to read.")
def pack(cache: Path, max_size: int, compress: bool) -> None:
    """Pack many small shards into few large ones; safe to stop at any moment."""
    from ..cache.layout import check_cache
    from ..cache.pack import pack_cache

    check_cache(cache)
    packs = 0
    for packed in pack_cache(cache, max_bytes=max_size << 20, compress=compress):
        packs += 1
        say(
            f"{packed.path}: {counted(packed.items, 'item')} from "
            f"{counted(packed.replaced, 'shard')}, "
            f"{size(packed.nbytes)}"
        )
    say(f"{counted(packs, 'pack')} written" if packs else "nothing to pack")


@cache.command()
@cache_option
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    multiple=True,
    default=["./vapipe-runs"],
    show_default=True,
    help="Folders of runs whose features are kept; repeat for more.",
)
@click.option("--quarantine", is_flag=True, help="Also what verify --repair set aside.")
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@click.option("--yes", is_flag=True, help="Remove without asking.")
@click.pass_context
def gc(
    context: click.Context,
    cache: Path,
    runs: tuple[Path, ...],
    quarantine: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Remove what no run and no current extraction refers to; lists it first.

    Imported features and quarantined shards stay, unless named: vapipe cannot make them again.
    """
    from ..cache.gc import find_garbage, remove
    from ..cache.layout import check_cache
    from ..fusion.runs.recorded import used_keys

    check_cache(cache)
    missing = [folder for folder in runs if not folder.is_dir()]
    if missing and context.get_parameter_source("runs") is not ParameterSource.DEFAULT:
        raise ConfigError(
            f"--runs {missing[0]}: no such folder; what its runs use would be removed. Name the "
            "folder that holds your runs"
        )
    for folder in missing:
        say(f"no runs in {folder}; --runs DIR keeps the features of those elsewhere")

    def used() -> set[tuple[str, str]]:
        return {unit for folder in runs for unit in used_keys(folder)}

    garbage = find_garbage(cache, used(), quarantine=quarantine)
    for entry in garbage:
        say(f"{entry.path}: {entry.reason} ({size(entry.nbytes)})")
    total = sum(entry.nbytes for entry in garbage)
    say(f"{counted(len(garbage), 'entry')}, {size(total)}" if garbage else "nothing to remove")
    if dry_run or not garbage:
        return
    if not yes:
        click.confirm("remove them?", abort=True)
    say(f"{size(remove(cache, garbage, used()))} freed")


@cache.command("remove")
@click.argument("videos", nargs=-1, required=True)
@cache_option
@click.option("--yes", is_flag=True, help="Remove without asking.")
def remove_(videos: tuple[str, ...], cache: Path, yes: bool) -> None:
    """Remove VIDEOS, by their ids, from the cache: times, labels and features of all streams."""
    from ..cache.layout import check_cache
    from ..cache.pack import remove_videos

    check_cache(cache)
    if not yes:
        click.confirm(f"remove {counted(len(videos), 'video')} from {cache}?", abort=True)
    remove_videos(cache, videos)
    say(f"{counted(len(videos), 'video')} removed")


@cache.command("export")
@click.argument("stream")
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["npy", "hdf5", "safetensors"]),
    default="npy",
    show_default=True,
)
@click.option("--video", "videos", multiple=True, help="Only this video; repeat for more.")
@cache_option
def export_(stream: str, target: Path, form: str, videos: tuple[str, ...], cache: Path) -> None:
    """Write the features of STREAM to TARGET: a folder of .npy files, or one file."""
    from ..cache.import_export import export_stream
    from ..cache.store import FeatureStore

    paths = export_stream(FeatureStore.open(cache), stream, target, form=form, videos=videos)
    say(f"{counted(len(paths), 'file')} written to {target}")


@cache.command("import")
@click.argument("stream")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--modality", type=click.Choice(["visual", "audio"]), required=True)
@click.option("--dtype", type=click.Choice(["float16", "float32"]), default="float16")
@cache_option
def import_(stream: str, folder: Path, modality: str, dtype: str, cache: Path) -> None:
    """Take FOLDER/<video>.npy files, one row per frame, in as the stream STREAM."""
    from ..cache.import_export import import_stream
    from ..cache.store import FeatureStore

    items = import_stream(FeatureStore.open(cache), stream, folder, modality=modality, dtype=dtype)
    say(f"{counted(len(items), 'video')} imported as {stream}")


@cache.command("report")
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
def report(cache: Path, videos: Path | None, out: Path, sheets: int) -> None:
    """Write a page about the cache: coverage, detection, times, labels, faces and sound.

    Faces are cropped anew from the videos, with the code and options that the features were made
    with; that takes some seconds per sheet.
    """
    from ..cache.layout import check_cache

    check_cache(cache)  # before torch is loaded
    from ..reports.cache_report import write_cache_report

    with progress_lines(1) as step:
        made = write_cache_report(cache, out, videos=videos, sheets=sheets, progress=step)
    say(
        f"{out}: {counted(made.items, 'item')}, {counted(made.streams, 'stream')}, "
        f"{counted(made.sheets, 'contact sheet')}"
        f"{'' if made.faces or not made.sheets else ' without faces'}, {size(made.nbytes)}; "
        "open it in a browser"
    )
    if made.sheets and not made.faces and not videos:
        say("next: --videos DIR puts faces on the sheets")
