"""What rows were made of: noted with every item, compared before its rows count as present.

A stream's key says how rows are made, and is one for all videos; a source says what of which file
they were made of: its content, the streams that were read, who was followed, which crops.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Source(NamedTuple):
    """What one item's rows were made of. Fields that do not apply, or were not noted, are empty.

    Attributes:
        sha256: of the video file.
        video_stream: index in the container of the stream that gives the timeline, and pictures.
        audio_stream: index of the sound that was heard, "none" where there is none.
        subject: "main", "left" or "right", for rows of a face that was followed.
        crops: SHA-256 over the face crop files, for rows of such.
        crop_files: digest of names, sizes and times of these files, which is quick to compute.
    """

    sha256: str
    video_stream: str = ""
    audio_stream: str = ""
    subject: str = ""
    crops: str = ""
    crop_files: str = ""

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Source:
        """From the facts in a shard, which may be those of an earlier version."""
        return cls(*(str(facts.get(name, "")) for name in cls._fields))

    @classmethod
    def parse(cls, text: str) -> Source:
        """From `str(source)`."""
        return cls(*text.split("|")[: len(cls._fields)])

    def __str__(self) -> str:
        return "|".join(self).rstrip("|")

    def facts(self) -> dict[str, str]:
        """The fields that apply, as plain JSON values."""
        return {name: value for name, value in self._asdict().items() if value}

    def stale_reason(self, wanted: Source) -> str | None:
        """Why these rows are not those wanted; None where nothing known speaks against them."""
        if self.sha256 != wanted.sha256:
            return "made from an earlier version of the video file"
        if _differ(self.video_stream, wanted.video_stream):
            return (
                f"made of video stream {self.video_stream} of the file, not of "
                f"{wanted.video_stream}"
            )
        if _differ(self.audio_stream, wanted.audio_stream):
            return (
                f"made of audio stream {self.audio_stream} of the file, not of "
                f"{wanted.audio_stream}"
            )
        if _differ(self.subject, wanted.subject):
            return f"the {self.subject} person was followed, not the {wanted.subject} one"
        if _differ(self.crops, wanted.crops):
            return "made of other face crops"
        return None


def timeline_source(facts: Mapping[str, Any], owner: str) -> Source:
    """What the rows of an owner beside a timeline with these facts must have been made of."""
    known = Source.of(facts["source"])
    return known._replace(subject=facts.get("sides", {}).get(owner, "main"))


def is_plain(facts: Mapping[str, Any]) -> bool:
    """Whether a timeline is of the file's default video stream and one main person.

    Rows of an earlier version, which did not note what it read, can be told right only then.
    """
    index = facts["source"].get("video_stream")
    default = facts.get("media", {}).get("default", {}).get("video")
    return index is None or (str(index) == str(default) and not facts.get("sides"))


def _differ(one: str, other: str) -> bool:
    return bool(one) and bool(other) and one != other
