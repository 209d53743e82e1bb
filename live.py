"""Both stages joined for a video that is being written or filmed: predictions as frames come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .cache.timeline import Valid, usable
from .errors import ConfigError, MediaError
from .extract.live import Delay, delays, follow, require_live
from .extract.media.live import open_live
from .extract.options import choose_options
from .extract.prepare import repeat_streams
from .extract.run import load_streams
from .fusion.evaluation.live import LivePredictor
from .fusion.evaluation.predict import load_runs
from .fusion.evaluation.results import EVIDENCE
from .fusion.runs.folder import require_configs
from .numerics import exactly, on_threads


@dataclass(frozen=True)
class LiveRow:
    """The prediction of one frame.

    Attributes:
        row: number of the frame, from 0.
        pts: seconds on the clock of the file or the camera.
        values: [targets].
        evidence: `face`, `sound` -> code, as far as the run uses them.
        decoded: when the frame was decoded, by `time.monotonic`.
    """

    row: int
    pts: float
    values: np.ndarray
    evidence: dict[str, Valid]
    decoded: float

    @property
    def age(self) -> float:
        """Seconds since the frame was decoded."""
        return time.monotonic() - self.decoded


@dataclass(frozen=True)
class Live:
    """A video that is followed.

    Attributes:
        targets: what the values of a row are.
        fps: nominal frame rate.
        delays: how far the streams look ahead.
        rows: the predictions as they come.
    """

    targets: tuple[str, ...]
    fps: float
    delays: list[Delay]
    rows: Iterator[LiveRow]


def predict_live(
    run: Path,
    source: Path,
    *,
    patience: float = 5.0,
    config: Path | None = None,
    video_stream: int | None = None,
    audio_stream: int | None = None,
    device: str = "auto",
) -> Live:
    """Predict the frames of a file that is being written, or of a camera, as they come.

    Args:
        run: a run folder whose head and TCN look at no frame to come.
        source: the file or the camera's device.
        patience: seconds without anything new after which it has ended.
        config: TOML file of the streams, where their weights have no name.
        video_stream: index in the container, None for the default one.
        audio_stream: likewise.
        device: where to compute.

    Raises:
        RunError: the run is not causal.
        ConfigError: a stream of the run cannot be made live, or not here at all.
        WeightsError: weights are not here; says how to get them.
        MediaError: the source cannot be opened, or has no sound where the run needs it.
    """
    ((_, loaded),) = load_runs([run], device).items()
    predictor = LivePredictor(loaded)
    extractions = repeat_streams(
        require_configs(loaded),
        cache=Path(),
        device=str(loaded.device),
        described=choose_options(None, None, config).streams if config else (),
    )
    if len(extractions) > 1:
        raise ConfigError(f"the run {run} uses several streams of one name; that is not live")
    (settings,) = extractions
    require_live(settings.specs)
    if source.is_char_device() and any(spec.crops is None for spec in settings.specs):
        raise ConfigError(
            f"{source}: a camera gives no sound, and the run {run} listens. Fit one that does not "
            "(--stream video=NAME), or have FFmpeg write both into a file and --follow that: "
            f"ffmpeg -f v4l2 -i {source} -f alsa -i default live.mkv"
        )
    streams = load_streams(settings)
    info = open_live(source, patience, video_stream=video_stream, audio_stream=audio_stream)
    if info.audio is None and any(spec.crops is None for spec in settings.specs):
        raise MediaError(f"{source}: there is no sound in it, and the run {run} listens")
    roles = {role: facts["stream"] for role, facts in loaded.streams.items()}
    kinds = {spec.stream: EVIDENCE[spec.modality] for spec in settings.specs}
    timeline: Any = info.timeline

    def rows() -> Iterator[LiveRow]:
        with on_threads(1), exactly():
            for number, row in enumerate(follow(info, streams, settings.device)):
                values = predictor.push({role: row[stream] for role, stream in roles.items()})
                evidence: dict[str, Valid] = {}
                for stream, (_, code) in row.items():
                    if not usable(np.array(evidence.get(kinds[stream], 0))):
                        evidence[kinds[stream]] = Valid(code)
                yield LiveRow(
                    number, timeline.pts[number], values, evidence, timeline.decoded[number]
                )

    return Live(loaded.config.learned, timeline.fps, delays(settings.specs, timeline.fps), rows())
