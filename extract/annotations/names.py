"""What names of columns, files and folders mean: targets, times, frames, videos."""

from __future__ import annotations

import re

from ...cache.header_checks import TARGETS
from .reading import Reading

# Dimensions that are annotated over time; others are taken where --targets names them.
KNOWN_TARGETS = (
    *TARGETS,
    "dominance",
    "power",
    "control",
    "expectancy",
    "anticipation",
    "intensity",
    "trustworthiness",
    "liking",
    "likability",
    "agreement",
    "engagement",
    "interest",
    "novelty",
    "stress",
)
_ALSO = {
    **dict.fromkeys(("v", "val", "pleasure"), "valence"),
    **dict.fromkeys(("a", "aro", "activation"), "arousal"),
    **dict.fromkeys(("d", "dom"), "dominance"),
}
VALUES = ("value", "values", "label", "gold_standard", "goldstandard", "rating", "score", "y")
STATISTICS = ("std", "sd", "stdev", "var", "variance", "confidence", "conf", "min", "max", "n")
VIDEOS = frozenset(
    {"video", "video_id", "videoid", "video_name", "name", "file", "filename", "file_name", "clip"}
    | {"item", "instance_name"}
)
UTTERANCES = ("utterance", "segment_name")
INDEX = ("", "index", "row", "#", "unnamed: 0")
UNUSED = ("-", "segment_id", "segment", "link", "emotion_max_vote", "id", "subject", "actor")
_SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds", "millis"), 1e-3),
    **dict.fromkeys(("us", "\N{MICRO SIGN}s", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nanoseconds"), 1e-9),
    **dict.fromkeys(("min", "minutes"), 60.0),
}
_TIMELY = frozenset(
    {"time", "timestamp", "timestamps", "timecode", "elapsed", "frametime", "seconds"}
    | {"milliseconds"}
)
_NOT_A_CLOCK = ("reaction", "response", "rt", "zone", "spent")
_NUMBERED = ("frame", "frames", "frameid", "frameno", "framenumber", "image", "frame0", "frame1")
_BY_NUMBER = ("number", "no", "nr", "num", "id", "idx", "index", "count", "#", "location", "name")


def plain(name: str) -> str:
    """A column's name in lower case, `FrameNumber` and `Frame number` as `frame_number`."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[\s_]+", "_", parted.lower()).strip("_") if name.strip() else ""


def words_of(name: str) -> list[str]:
    """The words of a name."""
    return [word for word in re.split(r"[\s_\-()\[\]/.]+", name) if word]


def target_of(word: str, reading: Reading, *, short: bool = False) -> str | None:
    """The target that a word names, if any; `short`: also as v, a or pleasure."""
    bare = plain(word.strip("\"'"))
    found = _ALSO.get(bare, bare) if short else bare
    return next((t for t in (bare, found) if t in (*KNOWN_TARGETS, *reading.targets)), None)


def unit_of(name: str) -> float | None:
    """Seconds of the unit that a name tells, such as `time (ms)`; None where it tells none."""
    return next((_SECONDS[word] for word in words_of(name) if word in _SECONDS), None)


def is_time(name: str) -> bool:
    """Whether a column called so holds times."""
    words = words_of(name)
    if any(word in _NOT_A_CLOCK for word in words):
        return False
    alone = bool(words) and all(word in (*_SECONDS, "t", "pts") for word in words)
    return alone or any(word in _TIMELY for word in words)


def is_frame(name: str) -> bool:
    """Whether a column called so holds numbers, or file names, of frames."""
    words = words_of(name)
    return bool(words) and words[0] in _NUMBERED and all(word in _BY_NUMBER for word in words[1:])


def is_edge(name: str, edges: tuple[str, ...]) -> bool:
    """Whether a column called so is a beginning, an end or a length: its first word says it."""
    return bool(words_of(name)) and words_of(name)[0] in edges
