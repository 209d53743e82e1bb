"""The challenge's submission file: one text file of `<video>/00001.jpg,valence,arousal` rows.

Which rows, and in which order, the organisers' sample file says; its frame numbers are rows of the
cache, counted from 1. Nothing is padded or left out unless that was asked for.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...cache.durable import write_bytes
from ...cache.labels import SURPLUS_ALLOWED
from ...cache.store import FeatureStore
from ...errors import SubmissionError, counted, some
from .ensemble import combine, ensemble_weights, name_shares, shared_targets
from .predict import load_runs, predict_items
from .results import file_name

LOCATION = "image_location"  # the first column, before the targets
_LOCATION = re.compile(r"(?P<video>.+)/(?P<frame>\d{5,})\.jpg")
_SHOWN = 10  # videos named in one message


@dataclass(frozen=True, eq=False)
class Wanted:
    """The rows that the sample file wants of one video.

    Attributes:
        video: item id.
        frames: [n] int64, frame numbers from 1, rising.
        locations: the n image locations as the sample file has them.
    """

    video: str
    frames: np.ndarray
    locations: list[str]


@dataclass(frozen=True, eq=False)
class Sample:
    """What a sample file wants.

    Attributes:
        targets: its columns after the location; none where it is a list of locations.
        wanted: its videos in their order.
    """

    targets: tuple[str, ...]
    wanted: list[Wanted]


@dataclass(frozen=True)
class Fit:
    """How the sample's rows of a video fit its frames.

    Attributes:
        rows: T of the video.
        last: the highest frame number wanted.
        left_out: frames below that number that the sample does not want.
    """

    rows: int
    last: int
    left_out: int


def read_sample(path: Path) -> Sample:
    """Read the organisers' sample file; its values are not looked at, and need not be there.

    Raises:
        SubmissionError: the file cannot be read, is of another challenge, or numbers frames twice
            or out of order; names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SubmissionError(f"cannot read the sample file {path}: {error}") from error
    header = [cell.strip().lower() for cell in lines[0].split(",")] if lines else []
    while header and not header[-1]:
        header.pop()
    if header[:1] != [LOCATION] or not all(header):
        raise SubmissionError(
            f"{path}: line 1 is `{lines[0][:80] if lines else ''}`; the sample file of the "
            f"valence-arousal challenge begins with `{LOCATION},valence,arousal`. Is this the file "
            "of another challenge?"
        )
    found: dict[str, tuple[list[int], list[str]]] = {}
    before = ""
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split(",")]
        match = _LOCATION.fullmatch(cells[0])
        bare = not any(cells[1:])  # as `VIDEO/00001.jpg,`
        if match is None or not (bare or len(header) == 1 or len(cells) == len(header)):
            raise SubmissionError(
                f"{path}: line {number} is `{line[:80]}`; expected `VIDEO/00001.jpg,v,a`, or the "
                "location alone"
            )
        video, frame = match["video"], int(match["frame"])
        if video != before and video in found:
            raise SubmissionError(
                f"{path}: line {number} comes back to video {video} after {before}; the rows of a "
                "video follow each other: take the organisers' file as it is"
            )
        frames, locations = found.setdefault(video, ([], []))
        if frame <= (frames[-1] if frames else 0):
            last = f"frame {frames[-1]}" if frames else "the beginning; frames count from 1"
            raise SubmissionError(
                f"{path}: line {number} is frame {frame} of video {video} after {last}; frame "
                "numbers rise: take the organisers' file as it is"
            )
        frames.append(frame)
        locations.append(cells[0])
        before = video
    if not found:
        raise SubmissionError(f"{path}: there is no row after the header; nothing to submit")
    wanted = [Wanted(v, np.array(frames), places) for v, (frames, places) in found.items()]
    return Sample(tuple(header[1:]), wanted)


def check_sample(
    sample: Iterable[Wanted], store: FeatureStore, *, pad: bool = False, cut: bool = False
) -> dict[str, Fit]:
    """Check that the sample wants exactly the frames that the cached videos have.

    Args:
        pad: allow frame numbers beyond a video's last frame (at most as many as annotations may
            have); they will hold the last prediction.
        cut: allow videos with as few frames more than the sample wants.

    Returns:
        video -> how its rows fit, in the order of the sample.

    Raises:
        SubmissionError: videos that are not in the cache, or of another length; names them.
    """
    sample, known = list(sample), set(store.videos())
    unknown = [wanted.video for wanted in sample if wanted.video not in known]
    if unknown:
        shown = [_with_hint(video, known) for video in unknown]
        raise SubmissionError(
            f"{len(unknown)} of {counted(len(sample), 'video')} in the sample file are not in "
            f"{store.root}: {some(shown, _SHOWN)}; extract them (`vapipe extract --videos DIR`), "
            f"or name the cache that has them with --cache{_side_advice(unknown, store)}"
        )
    fits, bad = {}, []
    for wanted in sample:
        rows, last = store.rows(wanted.video), int(wanted.frames[-1])
        fits[wanted.video] = Fit(rows, last, last - len(wanted.frames))
        surplus = last - rows
        if surplus and not ((pad if surplus > 0 else cut) and abs(surplus) <= SURPLUS_ALLOWED):
            bad.append(
                f"{wanted.video} ({counted(last, 'row')} for {counted(rows, 'frame')}, "
                f"{surplus:+d})"
            )
    if bad:
        raise SubmissionError(
            f"{len(bad)} of {counted(len(sample), 'video')} have another length in the sample "
            f"file than in {store.root}: {some(bad, _SHOWN)}. Up to {SURPLUS_ALLOWED} rows "
            "too many are filled with the last prediction by `--pad last`, up to "
            f"{SURPLUS_ALLOWED} too few leave out the last frames with `--cut last`; more than "
            "that means another video or frame rate: extract the organisers' file"
        )
    return fits


def write_submission(
    path: Path, sample: Sample, predictions: Mapping[str, np.ndarray], targets: Sequence[str]
) -> int:
    """Write the file; how many values lay outside [-1, 1] and were clipped.

    Args:
        sample: what is wanted, checked by `check_sample`.
        predictions: video -> [T, targets]; frame numbers beyond T take the last row.
    """
    lines, clipped = [",".join((LOCATION, *sample.targets))], 0
    columns = [targets.index(target) for target in sample.targets]
    for wanted in sample.wanted:
        values = predictions[wanted.video][:, columns]
        values = values[np.minimum(wanted.frames, len(values)) - 1]
        clipped += int((np.abs(values) > 1).sum())
        lines += [
            ",".join((location, *(f"{value:.6f}" for value in row)))
            for location, row in zip(wanted.locations, np.clip(values, -1, 1), strict=True)
        ]
    write_bytes(path, ("\n".join(lines) + "\n").encode())
    return clipped


@dataclass(frozen=True)
class Submission:
    """A file that was written, or several.

    Attributes:
        files: those written.
        fits: video -> how its rows fit, in the order of the sample.
        rows: of a file.
        clipped: values of all files that lay outside [-1, 1].
        shares: run -> target -> its share.
        others: items of the cache that the sample does not want.
    """

    files: list[Path]
    fits: dict[str, Fit]
    rows: int
    clipped: int
    shares: dict[str, dict[str, float]]
    others: int


def submit(
    runs: Sequence[Path],
    store: FeatureStore,
    sample: Path,
    out: Path,
    *,
    pad: bool,
    cut: bool,
    ensemble: str,
    smoothing: float,
    device: str,
    each: bool,
) -> Submission:
    """Predict what a sample file wants; arguments and errors as in `api.submit`."""
    if out.exists():
        raise SubmissionError(f"{out} exists; name a new file for the submission")
    asked = read_sample(sample)
    fits = check_sample(asked.wanted, store, pad=pad, cut=cut)
    loaded = load_runs(runs, device)
    paths = {name: run.path for name, run in loaded.items()}
    targets = shared_targets(paths)
    asked = replace(asked, targets=asked.targets or targets)
    lacking = [target for target in asked.targets if target not in targets]
    if lacking:
        raise SubmissionError(
            f"{sample} asks for {', '.join(asked.targets)}, and the runs predict "
            f"{', '.join(targets)}; fit with --set target_names={list(asked.targets)}"
        )
    weights = ensemble_weights(ensemble, paths, store, smoothing)
    members = {
        name: predict_items({name: run}, store, list(fits), smoothing=smoothing)
        for name, run in loaded.items()
    }
    mixed = combine(members, weights)
    files = {out: mixed}
    if each:
        files = {out / f"{file_name(name)}.txt": own for name, own in members.items()}
        if len(members) > 1:
            files[out / f"ensemble-{ensemble}.txt"] = mixed
    clipped = sum(write_submission(path, asked, own, targets) for path, own in files.items())
    rows = sum(len(each.frames) for each in asked.wanted)
    others = len(set(store.videos()) - set(fits))
    return Submission(list(files), fits, rows, clipped, name_shares(paths, weights), others)


def _side_advice(unknown: Sequence[str], store: FeatureStore) -> str:
    """What makes items of the people in a video whose sides the sample names."""
    sides = [
        video for video in unknown if video.rpartition("_")[0] in store.sources()
        and video.endswith(("_left", "_right"))
    ]  # fmt: skip
    if not sides:
        return ""
    return (
        f". {sides[0]} is one of two people in {sides[0].rpartition('_')[0]}: they are items where "
        "an annotation or the split names them, so extract again with this file as --split"
    )


def _with_hint(video: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(video, known, n=1, cutoff=0.8)
    return f"{video} (there is {near[0]})" if near else video
