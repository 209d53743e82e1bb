"""`vapipe predict`: both stages joined, for videos that are in no cache, or for cached items."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import counted
from .completion import RunFolder
from .console import (
    PARTLY,
    Partition,
    device_option,
    ensemble_option,
    run_cache_option,
    say,
    show_shares,
    smooth_option,
)
from .extraction_view import extraction_view
from .live import choose_source, show_live
from .progress import progress_lines

if TYPE_CHECKING:
    import numpy as np

    from ..prediction import Prediction, Predictions


@click.command()
@click.argument("run", type=RunFolder())
@click.argument("inputs", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--with",
    "others",
    multiple=True,
    metavar="RUN",
    type=RunFolder(),
    help="A further run; all are predicted as one. Repeat for more.",
)
@ensemble_option(default="mean")
@smooth_option
@run_cache_option("the one that the run recorded; for INPUTS a temporary one")
@click.option(
    "--video", "videos", multiple=True, metavar="ID", help="A cached item; repeat [default: all]."
)
@click.option(
    "--partition",
    type=Partition(),
    help="Only the cached items of this part of the split, annotated or not.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="./vapipe-predictions",
    show_default=True,
    help="Folder of the results; files of the same names are replaced.",
)
@click.option("--overlay", is_flag=True, help="Also write each video with the curves drawn beside.")
@click.option(
    "--faces",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Face crops of INPUTS, for runs that were trained on such.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="TOML file of the streams, where their weights have no name (docs/streams.md).",
)
@click.option("--video-stream", type=int, help="Index of the video stream, where a file has many.")
@click.option("--audio-stream", type=int, help="Index of the audio stream, where a file has many.")
@click.option(
    "--follow",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Print predictions of a file that is being written (Matroska, MPEG-TS) as frames come; "
    "for runs that look at no frame to come.",
)
@click.option(
    "--webcam",
    type=click.Path(path_type=Path),
    is_flag=False,
    flag_value="/dev/video0",
    metavar="[DEVICE]",
    help="The same of a camera [default: /dev/video0]; for runs on pictures alone.",
)
@click.option(
    "--patience",
    type=click.FloatRange(0, min_open=True),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Without anything new, after which --follow or --webcam has ended.",
)
@device_option
@click.pass_context
def predict(
    context: click.Context,
    run: Path,
    inputs: tuple[Path, ...],
    others: tuple[Path, ...],
    ensemble: str,
    smooth: float,
    cache: Path | None,
    videos: tuple[str, ...],
    partition: str | None,
    out: Path,
    overlay: bool,
    faces: Path | None,
    config: Path | None,
    video_stream: int | None,
    audio_stream: int | None,
    patience: float,
    device: str,
    **_: Any,
) -> None:
    """Predict valence and arousal of every frame with the run folder RUN.

    INPUTS are videos or folders of videos: their features are made exactly as those that the run
    was trained on, or refused. Without INPUTS, items of the cache are predicted. Writes one CSV per
    video: row, pts (seconds), valence, arousal (or what the run learned), and what each row rests
    on: face and sound, the box of the face in pixels, and a number (track) for whom it shows;
    index.tsv says which file is of which input.
    """
    if (source := choose_source(context)) is not None:
        streams = {"video_stream": video_stream, "audio_stream": audio_stream}
        show_live(run, source, patience, config=config, device=device, **streams)
        return
    from .. import predict as predict_items
    from ..fusion.runs.recorded import shared_cache

    if overlay and not inputs:
        raise click.UsageError("--overlay is for video files: name them as INPUTS")
    if not inputs:
        cache = shared_cache([run, *others], cache)
    with extraction_view(temporary=cache is None) if inputs else nullcontext() as view:
        found = predict_items(
            [run, *others],
            inputs,
            cache=cache,
            items=videos,
            partition=partition,
            ensemble=ensemble,
            smoothing=smooth,
            out=out,
            faces=faces,
            config=config,
            video_stream=video_stream,
            audio_stream=audio_stream,
            device=device,
            extract=view.run if view else None,
        )
    if len(found.shares) > 1:
        show_shares(found.shares)
    for item, names in found.lacking.items():
        say(f"  {item} lacks {', '.join(names)}; not predicted", err=True)
    for item, prediction in found.items.items():
        _show(item, prediction)
    for reason in dict.fromkeys(each.boxless for each in found.items.values() if each.boxless):
        count = sum(each.boxless == reason for each in found.items.values())
        say(f"no boxes of faces in {counted(count, 'file')}: {reason}")
    if not inputs:
        say(f"cache: {cache}")
    if overlay:
        _overlay(found, out, " + ".join(found.shares), video_stream)
    if found.problems or found.lacking:
        sys.exit(PARTLY)


def _show(item: str, prediction: Prediction) -> None:
    seen = prediction.seen
    lacking = [kind for kind, rows in seen.items() if not rows.any()]
    if lacking:
        rest = [kind for kind in seen if kind not in lacking]
        said = f"its predictions rest on {rest[0]} alone" if rest else "its predictions say nothing"
        say(f"warning: {item}: no {' and no '.join(lacking)} in any frame; {said}", err=True)
    means = zip(prediction.targets, prediction.values.mean(axis=0), strict=True)
    shown = ", ".join(f"{target} {mean:+.2f}" for target, mean in means)
    shares = ", ".join(f"{kind} in {share(rows)} %" for kind, rows in seen.items())
    if prediction.tracks is not None and prediction.others.any():
        others = share(prediction.others[prediction.tracks > 0])
        shares += f"; of the faces {others} % are not recognised as the person of most frames"
    say(f"{prediction.file}: {counted(len(prediction.values), 'frame')}, mean {shown}; {shares}")


def _shaded(prediction: Prediction) -> dict[str, np.ndarray]:
    """What an overlay says of rows that are to be taken with care -> [T] bool."""
    lacking = {f"no {kind}": ~rows for kind, rows in prediction.seen.items()}
    return {**lacking, "another track": prediction.others}


def share(rows: np.ndarray) -> str:
    """Per cent of the rows [T] that are True; only all of them are 100, only none is 0."""
    percent = round(100 * float(rows.mean()))
    return str(percent if rows.all() or not rows.any() else min(max(percent, 1), 99))


def _overlay(found: Predictions, out: Path, runs: str, video_stream: int | None) -> None:
    from ..fusion.evaluation.results import file_name
    from ..reports.overlay import write_overlay

    with progress_lines(len(found.items)) as step:
        for item, prediction in found.items.items():
            if prediction.clip is None:
                continue
            path = write_overlay(
                prediction.clip,
                out / file_name(item),
                prediction.values,
                names=prediction.targets,
                shaded=_shaded(prediction),
                boxes=prediction.boxes,
                title=runs,
                video_stream=video_stream,
            )
            step(1, str(path), item)
