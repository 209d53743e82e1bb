"""`vapipe weights`: which pretrained weights there are, and getting, checking and adding them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from ..errors import counted
from .console import PARTLY, say, size
from .progress import progress_bar


@click.group()
def weights() -> None:
    """List, fetch, check and add pretrained weights.

    They lie in ~/.cache/vapipe/weights, or in the folder that VAPIPE_WEIGHTS names.
    """


@weights.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def list_(as_json: bool) -> None:
    """Show all weights: what is here, how large, under which licence."""
    from dataclasses import asdict

    from ..extract.weights.files import all_entries, weights_folder

    folder = weights_folder()
    entries = all_entries(folder)
    here = {name: (folder / entry.file).is_file() for name, entry in entries.items()}
    if as_json:
        rows = [asdict(entry) | {"present": here[name]} for name, entry in entries.items()]
        click.echo(json.dumps({"folder": str(folder), "weights": rows}, indent=2))
        return
    say(f"folder: {folder}")
    for name, entry in entries.items():
        path = folder / entry.file
        nbytes = path.stat().st_size if here[name] else entry.nbytes
        state = "here" if here[name] else "to fetch" if entry.url else "to add"
        say(
            f"{name:22s} {entry.architecture:12s} {state:9s} "
            f"{size(nbytes) if nbytes else '?':>10s}  {entry.source}"
        )
        say(f"{'':22s} licence: {entry.licence}")


@weights.command()
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that have a public location.")
def fetch(names: tuple[str, ...], everything: bool) -> None:
    """Download the weights NAMES; continues where an earlier download stopped."""
    from ..errors import VapipeError
    from ..extract.weights.files import weight_entry, weights_folder
    from ..extract.weights.table import WEIGHT_TABLE

    if bool(names) == everything:
        raise click.UsageError("name the weights to fetch, or give --all")
    wanted = names or tuple(name for name, entry in WEIGHT_TABLE.items() if entry.url)
    failed = []
    for name in wanted:
        try:
            entry = weight_entry(name, weights_folder())
            if entry.url:
                say(f"{name}: {entry.url}")
                say(f"{name}: licence: {entry.licence}")
                if entry.sha256 is None:
                    say(f"{name}: no digest is public; pinned as it comes over https")
            _fetch(name)
        except VapipeError as error:
            if len(wanted) == 1:
                raise
            failed.append(name)
            say(f"error: {error}", err=True)
    if failed:
        say(f"{len(wanted) - len(failed)} of {len(wanted)} here; failed: {' '.join(failed)}")
        sys.exit(PARTLY)


def _fetch(name: str) -> None:
    """One download, with a bar on a terminal, else a line per tenth."""
    from ..extract.weights.fetch import fetch_weights

    with progress_bar() as bar:
        tenths = 0

        def progress(done: int, total: int | None) -> None:
            nonlocal tenths
            if not total:
                return
            bar.show(done, total, name, size(total))
            if 10 * done // total > tenths and not sys.stdout.isatty():
                tenths = 10 * done // total
                say(f"{name}: {100 * done // total} % of {size(total)}")

        found = fetch_weights(name, progress=progress)
    say(f"{name}: {found.path} ({size(found.nbytes)}, SHA-256 {found.sha256})")


@weights.command()
@click.argument("names", nargs=-1)
def verify(names: tuple[str, ...]) -> None:
    """Read every file that is here, or those of NAMES, and compare the digests."""
    from ..errors import WeightsError
    from ..extract.weights.files import find_weights, present_names

    checked = names or tuple(present_names())
    bad = 0
    for name in checked:
        try:
            found = find_weights(name, rehash=True)
            say(f"{name}: right, SHA-256 {found.sha256}")
        except WeightsError as error:
            bad += 1
            say(f"{name}: {error}")
    say(f"{counted(len(checked), 'file')} checked, {bad} with problems")
    if bad:
        sys.exit(PARTLY)


@weights.command()
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--architecture",
    metavar="NETWORK",
    help="The network a file with a new name fits: resnet50, facenet, ir50, vggish, wavlm-base ...",
)
@click.option("--replace", "replaces", is_flag=True, help="Replace a different file of that name.")
def add(name: str, file: Path, architecture: str | None, replaces: bool) -> None:
    """Copy FILE into the folder as the weights NAME, after checking that it fits."""
    from ..extract.weights.files import add_weights

    found = add_weights(name, file, architecture=architecture, replaces=replaces)
    say(f"{name}: {found.path} ({size(found.nbytes)}, SHA-256 {found.sha256})")
