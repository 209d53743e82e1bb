"""What is asked of a run, of one video of it, and how that went: plain values between processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .dataset import Video
from .spec import EncoderSpec


@dataclass(frozen=True)
class Settings:
    """What is the same for every video of a run; picklable, sent to worker processes.

    Attributes:
        cache: the cache folder.
        specs: the streams asked for; workers make just these or refuse.
        crops_dir: folder of official crops, for streams of such.
        device: torch device.
        video_stream: index of the container's video stream, None for the default one.
        audio_stream: index of the container's audio stream, None for the default one.
    """

    cache: Path
    specs: tuple[EncoderSpec, ...]
    crops_dir: Path | None = None
    device: str = "cpu"
    video_stream: int | None = None
    audio_stream: int | None = None

    @property
    def keys(self) -> dict[str, str]:
        """Stream -> key."""
        return {spec.stream: spec.key() for spec in self.specs}


@dataclass(frozen=True)
class Stale:
    """Rows that are there but are not those asked for, and why not."""

    stream: str
    owner: str
    reason: str

    def __str__(self) -> str:
        return f"{self.owner}: {self.stream} was {self.reason}"


@dataclass(frozen=True)
class Task:
    """One video and what of it is missing.

    Attributes:
        video: the video.
        streams: stream name -> owners (item or video ids) whose rows are missing or stale.
        timeline: whether the timeline must be written.
        stale: why rows that are there are made anew.
        sha256: of the file that the timeline in the cache is of; empty where there is none.
    """

    video: Video
    streams: Mapping[str, tuple[str, ...]]
    timeline: bool
    stale: tuple[Stale, ...] = ()
    sha256: str = ""

    @property
    def incomplete(self) -> bool:
        """Whether anything is missing."""
        return self.timeline or bool(self.streams)


@dataclass(frozen=True)
class ItemLabels:
    """What the cache holds of an item's annotation once a run has looked at it.

    Attributes:
        item: its id.
        partition: "train", "validation" or "test", None where nothing names it.
        facts: how it was annotated, see `Labels.facts`; empty where it is not.
        kept: where labels or partition came from that stay although nobody looked there.
        change: what the run did to its labels.
    """

    item: str
    partition: str | None
    facts: Mapping[str, Any]
    kept: str = ""
    change: Literal["", "taken", "removed", "refused"] = ""

    @property
    def annotated(self) -> int:
        """Number of frames with a value."""
        return int(self.facts.get("annotated", 0))


@dataclass(frozen=True)
class Outcome:
    """How a video went.

    Attributes:
        video: its id.
        status: "complete" (nothing was missing), "extracted", "failed", or "quarantined" (failed
            in an earlier run, not tried again).
        notes: what the user should know of it.
        problems: what could not be done, and why.
        trace: traceback of an error that vapipe does not expect.
        fault: of what fails: "media" (the file), "changed" (the file, while it was read), "set-up"
            (cache, options, weights), "device" (that computes), "unexpected" or "death" (of the
            worker process).
        rows: frames T; 0 when unknown.
        duration: seconds of video.
        units: shards written.
        seconds: wall time.
        peak: resident bytes of the process at most so far.
        stages: where its seconds went, see `stages`.
        labels: of each subject, what the cache holds of its annotation now.
    """

    video: str
    status: str
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    trace: str = ""
    fault: str = ""
    rows: int = 0
    duration: float = 0.0
    units: int = 0
    seconds: float = 0.0
    peak: int = 0
    stages: Mapping[str, float] = field(default_factory=dict)
    labels: tuple[ItemLabels, ...] = ()
