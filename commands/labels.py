"""`vapipe labels`: annotations into the cache without extracting, and what is in force there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ..errors import counted
from .console import ERROR, PARTLY, cache_option, say, unless_default

if TYPE_CHECKING:
    from ..extract.annotations.reading import Reading

_READING = (
    ("columns", str, "NAMES", "What the columns are, in order; - for one that is not used."),
    ("rate", float, "HZ", "Rows per second, of annotations without a column of times."),
    (
        "scale",
        str,
        "LOW..HIGH",
        "Of the values, e.g. -10..10; each its own: valence=0..1,arousal=0..5.",
    ),
    ("delay", float, "SECONDS", "By which the annotation lags behind the picture."),
    ("annotators", str, "mean|ewe", "How several annotators become one; ewe weights them."),
    ("interpolation", str, "linear|nearest", "Between annotated times [default: linear]."),
    ("gap", float, "SECONDS", "Between annotated times without annotation [default: 3 steps]."),
    ("missing", float, "VALUE", "That stands where nothing is annotated, e.g. -99."),
    ("targets", str, "NAMES", "What is annotated, where it is not valence, arousal or the like."),
)


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How annotations are to be read, as far as the files do not say it."""
    for name, kind, metavar, text in reversed(_READING):
        command = click.option(f"--{name}", type=kind, metavar=metavar, help=text)(command)
    return command


def take_reading(chosen: dict[str, Any]) -> Reading | None:
    """Take these options out of all that were typed; None where none was."""
    from ..extract.annotations.reading import Reading

    typed = {name: chosen.pop(name) for name, *_ in _READING}
    given = {name: value for name, value in typed.items() if value is not None}
    return Reading.parse(**given) if given else None


@click.group()
def labels() -> None:
    """Take annotations into the cache, and show which are in force."""


@labels.command("import")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--videos", type=click.Path(path_type=Path), required=True, help="Their videos.")
@click.option("--split", type=click.Path(path_type=Path), help="As in `vapipe extract`.")
@click.option(
    "--ids", type=click.Choice(["stem", "path"]), default="stem", help="As in `vapipe extract`."
)
@reading_options
@cache_option
def import_(
    folder: Path,
    videos: Path,
    split: Path | None,
    ids: Literal["stem", "path"],
    cache: Path,
    **chosen: Any,
) -> None:
    """Take the annotations in FOLDER (or one file) into the cache of extracted videos.

    A table with a column of times or frame numbers, or a --rate, is brought to the frames;
    otherwise every row is a frame. `vapipe extract` does the same on its way.
    """
    from ..extract.labels_import import import_labels
    from ..extract.labels_report import describe_labels

    dataset, outcomes = import_labels(
        folder, videos, cache, split=split, ids=ids, reading=take_reading(chosen)
    )
    for outcome in outcomes:
        for note in outcome.notes:
            say(f"  {note}")
    for name, problem in dataset.problems:
        say(f"  {name}: {problem}", err=True)
    for outcome in outcomes:
        for problem in outcome.problems:
            say(f"  {outcome.video}: {problem}", err=True)
    states = [each for outcome in outcomes for each in outcome.labels]
    for line in describe_labels(states, dataset):
        say(line)
    if not any(each.annotated for each in states):
        say("error: no annotation could be taken in", err=True)
        sys.exit(ERROR)
    say(f"next: vapipe fit --head grjca{unless_default(cache)}")
    if dataset.problems or any(outcome.problems for outcome in outcomes):
        sys.exit(PARTLY)


@labels.command("show")
@cache_option
def show(cache: Path) -> None:
    """Show of every item its partition, how much of it is annotated, and from which files."""
    import numpy as np

    from ..cache.store import FeatureStore

    store = FeatureStore.open(cache)
    for item in store.videos():
        source = store.label_source(item)
        known = np.isfinite(store.labels(item)).any(axis=1)
        files = ", ".join(each["name"] for each in source.get("files", ())) or "-"
        say(
            f"{item}: {store.partition(item) or 'no partition'}, {known.mean():.1%} of "
            f"{counted(len(known), 'frame')}, {files}"
        )
