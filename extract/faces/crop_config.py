"""How faces are found and cropped: the options that decide the pixels. Imports no network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ...errors import ConfigError

DETECTOR_WEIGHTS = ("pnet.pt", "rnet.pt", "onet.pt")  # of facenet-pytorch's MTCNN
_MAX_EVERY = 32  # frames whose images wait for the next search
_POINTS_MARGIN = 0.03  # of squares by points, whose sides are 1.02 to 1.11 face boxes on real clips


@dataclass(frozen=True)
class CropConfig:
    """How crops are made. Lines are pixels of an image's shorter side.

    Attributes:
        source: "detect" finds and follows faces, "frame" takes the centre square of the whole
            frame, "crops" reads crop files.
        size: side of a crop in pixels.
        margin: by how much the crop is wider than the face box, as a part of the box.
        lines: frames of more lines are reduced to so many before cropping.
        detection_lines: frames are reduced to so many lines for detection.
        min_face: smallest face looked for, in pixels of the detection image.
        thresholds: scores that a face needs in the detector's three stages.
        acquire: score that a face needs to be followed; walls and hands reach lower ones.
        patience: seconds for which a lost face is waited for and then bridged.
        every: one of so many frames is searched for faces as a whole; between them faces are
            tracked. 1 searches every frame.
        smooth: seconds over which boxes are smoothed (standard deviation of the weights); 0 for
            boxes as the detector gives them.
        align: "box" cuts the upright square around the face box; "points" turns and scales the
            face so that eyes, nose and mouth lie at their standard places, whatever the margin.
    """

    source: Literal["detect", "frame", "crops"] = "detect"
    size: int = 112
    margin: float = 0.3
    lines: int = 1080
    detection_lines: int = 240
    min_face: int = 30
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    acquire: float = 0.9
    patience: float = 0.5
    every: int = 10
    smooth: float = 0.04
    align: Literal["box", "points"] = "box"

    def __post_init__(self) -> None:
        """Refuse values that make no crops.

        Raises:
            ConfigError: an unknown source, or a number out of range.
        """
        if self.source not in ("detect", "frame", "crops"):
            raise ConfigError(
                f"crops: source `{self.source}` is none of detect, frame, crops; choose one"
            )
        if self.align not in ("box", "points"):
            raise ConfigError(f"crops: align `{self.align}` is none of box, points; choose one")
        for name in ("size", "lines", "detection_lines"):
            if getattr(self, name) < 16:
                raise ConfigError(f"crops: {name} must be at least 16, got {getattr(self, name)}")
        if self.min_face < 12:  # the first network's field; smaller ones would enlarge the image
            raise ConfigError(f"crops: min_face must be at least 12, got {self.min_face}")
        if self.min_face > self.detection_lines:
            raise ConfigError(
                f"crops: min_face ({self.min_face}) must not exceed detection_lines "
                f"({self.detection_lines}); raise the one or lower the other"
            )
        if not 0 <= self.margin <= 2:
            raise ConfigError(f"crops: margin must be in 0..2, got {self.margin}")
        if len(self.thresholds) != 3 or not all(0 < value < 1 for value in self.thresholds):
            raise ConfigError(
                f"crops: thresholds must be three numbers between 0 and 1, got {self.thresholds}"
            )
        if not 0 <= self.acquire < 1:
            raise ConfigError(f"crops: acquire must be in 0..1, got {self.acquire}")
        if not 0 <= self.patience <= 5:
            raise ConfigError(f"crops: patience must be in 0..5 seconds, got {self.patience}")
        if not 1 <= self.every <= _MAX_EVERY:
            raise ConfigError(f"crops: every must be in 1..{_MAX_EVERY} frames, got {self.every}")
        if not 0 <= self.smooth <= 1:
            raise ConfigError(f"crops: smooth must be in 0..1 seconds, got {self.smooth}")

    @property
    def finds_faces(self) -> bool:
        """Whether faces are looked for, so that their boxes are known."""
        return self.source == "detect"

    @property
    def face_margin(self) -> float:
        """By how much crops exceed the face box; 0 where no box is known (encoders ask)."""
        if not self.finds_faces:
            return 0.0
        return self.margin if self.align == "box" else _POINTS_MARGIN

    def relevant(self) -> dict[str, Any]:
        """The options that determine the crops' pixels, with their values."""
        names = {"crops": ("source", "size"), "frame": ("source", "size", "lines")}
        options = dataclasses.asdict(self)
        return {name: options[name] for name in names.get(self.source, options)}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> CropConfig:
        """From what a shard says of its crops; what is no option is passed over."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: _frozen(value) for name, value in facts.items() if name in known})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
