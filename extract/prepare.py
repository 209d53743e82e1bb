"""From what is asked for to the settings of a run: streams, crops, device. Loads no network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..cache.index import open_catalog
from ..cache.layout import MARKER
from ..device import check_device_name, find_device
from ..errors import ConfigError
from .faces.crop_config import CropConfig
from .options import Options, StreamConfig
from .spec import SCHEMA, EncoderSpec, differences, make_specs
from .task import Settings
from .weights.files import all_with_weights


def make_settings(
    cache: Path,
    options: Options,
    *,
    faces: str = "detect",
    device: str = "auto",
    precision: str = "auto",
    elsewhere: bool = False,
    video_stream: int | None = None,
    audio_stream: int | None = None,
) -> Settings:
    """The settings of a run.

    Args:
        cache: the cache folder; need not be there yet.
        options: the streams and their cropping.
        faces: "detect", "frame", or the folder of face crops.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: of computing, for streams that name none: "float32", "bfloat16", "float16" or
            "auto".
        elsewhere: whether workers compute, so that only they know whether the device is there.
        video_stream: index in the container, None for the default one.
        audio_stream: likewise.

    Raises:
        ConfigError: unknown encoder or option, or no such folder or device.
        WeightsError: weights are missing or wrong.
    """
    crops_dir = None if faces in ("detect", "frame") else Path(faces)
    if crops_dir is not None and not crops_dir.is_dir():
        raise ConfigError(
            f"--faces {faces}: not `detect`, not `frame`, and no folder of crops of that name"
        )
    check_device_name(device)
    where = ("cpu" if device == "auto" else device) if elsewhere else find_device(device)
    source: Any = "crops" if crops_dir else faces
    return Settings(
        cache=cache,
        specs=make_specs(
            options.streams,
            dataclasses.replace(options.crops, source=source),
            device=where,
            precision=precision,
            recorded=partial(recorded_specs, cache),
        ),
        crops_dir=crops_dir,
        device=where,
        video_stream=video_stream,
        audio_stream=audio_stream,
    )


def recorded_specs(cache: Path) -> list[EncoderSpec]:
    """The streams in a cache that this version of vapipe extracted."""
    if not (cache / MARKER).exists():
        return []
    return [
        EncoderSpec.from_json(stream, group.folder.provenance["config"])
        for (stream, _), group in open_catalog(cache).features.items()
        if group.folder.provenance["config"].get("schema") == SCHEMA
    ]


def repeat_streams(
    streams: Sequence[Mapping[str, Any]],
    *,
    cache: Path,
    device: str,
    described: Sequence[StreamConfig] = (),
    crops_dir: Path | None = None,
    video_stream: int | None = None,
    audio_stream: int | None = None,
) -> list[Settings]:
    """Settings of the runs that make the very streams of a fit; streams of one name run apart.

    Args:
        streams: of each "stream", "key" and "config", as a run folder keeps them.
        cache: where the features will go.
        device: torch device.
        described: streams whose encoder and options are to be taken from here, by name: for
            weights that have no name.
        crops_dir: folder of face crops, for streams that were made of such.
        video_stream: index in the container, None for the default one.
        audio_stream: likewise.

    Raises:
        ConfigError: a stream cannot be made here, or would get other values; says what differs.
        WeightsError: weights are not here; says how to get them.
    """
    by_name = {config.name: config for config in described}
    specs = {
        (facts["stream"], facts["key"]): _repeat(facts, by_name.get(facts["stream"]))
        for facts in streams
    }
    _check_crops(list(specs.values()), crops_dir)
    all_with_weights(spec.check_here for spec in specs.values())
    groups: list[dict[str, EncoderSpec]] = []
    for spec in specs.values():
        group = next((group for group in groups if spec.stream not in group), None)
        if group is None:
            groups.append(group := {})
        group[spec.stream] = spec
    return [
        Settings(
            cache=cache,
            specs=tuple(group.values()),
            crops_dir=crops_dir,
            device=device,
            video_stream=video_stream,
            audio_stream=audio_stream,
        )
        for group in groups
    ]


def _repeat(facts: Mapping[str, Any], config: StreamConfig | None) -> EncoderSpec:
    """The stream that a run remembers, with the weights of a description where there is one."""
    spec = EncoderSpec.from_json(facts["stream"], facts["config"])
    made = spec
    if config is not None:
        crops = spec.crops or CropConfig()
        (made,) = make_specs([config], crops, recorded=lambda: [spec])
    if made.key() != facts["key"]:
        what = differences(spec, made) or "its record has been changed"
        raise ConfigError(
            f"stream {spec.stream} would get other values than in training: {what}; correct its "
            "description in the file for --config, or extract and fit again"
        )
    return made


def _check_crops(specs: Sequence[EncoderSpec], crops_dir: Path | None) -> None:
    of_files = [s.stream for s in specs if s.crops is not None and s.crops.source == "crops"]
    if crops_dir is not None and not of_files:
        raise ConfigError(
            f"--faces {crops_dir}: none of the streams {', '.join(s.stream for s in specs)} was "
            "made of face crops, so new videos cannot be either; leave --faces out"
        )
    if of_files and crops_dir is None:
        raise ConfigError(
            f"stream {of_files[0]} was made of face crops, not of videos; name the folder of the "
            "new videos' crops with --faces DIR (DIR/<video>/00001.jpg ...)"
        )
