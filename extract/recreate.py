"""Streams made again from what their keys are digests of, so that new videos get the same features.

An identity names everything that determines a stream's values; here it is turned back into options.
The key of what comes out decides: another key is refused, with what differs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .encoders.registry import encoder_options
from .faces.crops import CropConfig
from .run import bind_all
from .streams import SCHEMA, StreamConfig
from .video import Settings
from .views import View
from .weights.files import all_entries, find_weights, present_names

_CROP_OPTIONS = {option.name for option in dataclasses.fields(CropConfig)}
_LISTED = 6  # differences named in one message


@dataclass(frozen=True)
class Wanted:
    """A stream to be made again.

    Attributes:
        name: of the stream.
        key: SHA-256 (hex) of the identity.
        identity: what determines its values, as the cache keeps it.
    """

    name: str
    key: str
    identity: Mapping[str, Any]


def recreate(
    wanted: Sequence[Wanted],
    *,
    cache: Path,
    device: str,
    described: Sequence[StreamConfig] = (),
    crops_dir: Path | None = None,
    video_stream: int | None = None,
) -> list[Settings]:
    """Settings of the extractions that make the very streams, one for each way of cropping.

    Loads the encoders, and so finds out before the first video whether the keys are the same.

    Args:
        wanted: the streams.
        cache: where the features will go.
        device: torch device.
        described: streams whose encoder and options are to be taken from here, by name: for
            weights that have no name.
        crops_dir: folder of face crops, for streams that were made of such.
        video_stream: index in the container, None for the default one.

    Raises:
        ConfigError: a stream cannot be made here, or would get another key; says what differs.
        WeightsError: weights are not here; says how to get them.
    """
    if crops_dir is not None and not any(_made_of_crops(stream) for stream in wanted):
        raise ConfigError(
            f"--faces {crops_dir}: none of the streams {', '.join(s.name for s in wanted)} was "
            "made of face crops, so new videos cannot be either; leave --faces out"
        )
    by_name = {config.name: config for config in described}
    groups: dict[CropConfig, list[tuple[Wanted, StreamConfig]]] = {}
    for stream in wanted:
        config = by_name.get(stream.name) or stream_config(stream)
        groups.setdefault(crop_config(stream, crops_dir), []).append((stream, config))
    result = []
    for crops, members in groups.items():
        settings = Settings(
            cache=cache,
            streams=tuple(config for _, config in members),
            crops=crops,
            crops_dir=crops_dir if crops.source == "crops" else None,
            device=device,
            video_stream=video_stream,
        )
        for made, (stream, _) in zip(bind_all(settings), members, strict=True):
            if made.key != stream.key:
                raise ConfigError(_other_key(stream, made.identity))
        result.append(settings)
    return result


def stream_config(wanted: Wanted) -> StreamConfig:
    """The configuration that an identity came of.

    Raises:
        ConfigError: the stream was imported, or made by another version of vapipe, or its weights
            have no name here.
    """
    identity = wanted.identity
    if "encoder" not in identity or "schema" not in identity:
        raise ConfigError(
            f"stream {wanted.name} was not extracted by vapipe (imported features), so it cannot "
            "be made for new videos; import it for them, too, and predict from the cache"
        )
    if identity["schema"] != SCHEMA:
        raise ConfigError(
            f"stream {wanted.name} was extracted by another version of vapipe (schema "
            f"{identity['schema']}, this one makes {SCHEMA}): extract and fit again, or use that "
            "version"
        )
    facts = identity["encoder"]
    given = {**facts, **facts.get("input", {})}
    if "layers" in facts:
        given["layer"] = tuple(facts["layers"])
    if "network" in facts:  # of WavLM; base and base-plus are one network
        given["size"] = facts["network"].removeprefix("wavlm-")
    if "pca" in facts:
        given["pca"] = _named(wanted, facts["pca"]) if facts["pca"] else False
    options = {name: given[name] for name in encoder_options(facts["name"]) if name in given}
    if "weights" in options:
        options["weights"] = _named(wanted, options["weights"])
    return StreamConfig(
        name=wanted.name,
        encoder=facts["name"],
        options=tuple(sorted(options.items())),
        dtype=identity["dtype"],
        view=View(identity.get("view", "whole")),
    )


def _named(wanted: Wanted, digest: Any) -> str:
    """The name of the weights with a digest; they need not be here if the table knows them."""
    if isinstance(digest, str) and ":" not in wanted.identity["encoder"]["name"]:
        for entry in all_entries().values():
            if entry.sha256 and digest.startswith(entry.sha256):
                return entry.name
        for name in present_names():
            if find_weights(name).sha256 == digest:
                return name
    shown = digest if isinstance(digest, str) else ", ".join(digest.values())
    raise ConfigError(
        f"stream {wanted.name} was made with weights of SHA-256 {shown}, which have no name here. "
        "Add the file (`vapipe weights add NAME FILE --architecture NETWORK`), or describe the "
        f"stream with its weights under [streams.{wanted.name}] of a file for --config "
        "(docs/streams.md)"
    )


def crop_config(wanted: Wanted, crops_dir: Path | None) -> CropConfig:
    """How the crops of a visual stream were made.

    Raises:
        ConfigError: they were crop files, and no folder is given.
    """
    facts = wanted.identity.get("crops", {})
    if _made_of_crops(wanted) and crops_dir is None:
        raise ConfigError(
            f"stream {wanted.name} was made of face crops, not of videos; name the folder of the "
            "new videos' crops with --faces DIR (DIR/<video>/00001.jpg ...)"
        )
    options = {name: value for name, value in facts.items() if name in _CROP_OPTIONS}
    if "thresholds" in options:
        options["thresholds"] = tuple(options["thresholds"])
    return CropConfig(**options)


def _made_of_crops(wanted: Wanted) -> bool:
    return wanted.identity.get("crops", {}).get("source") == "crops"


def _other_key(wanted: Wanted, made: Mapping[str, Any]) -> str:
    old, new = dict(_leaves(wanted.identity)), dict(_leaves(made))
    odd = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    shown = ", ".join(f"{n} is {new.get(n)}, was {old.get(n)}" for n in odd[:_LISTED])
    more = f" and {len(odd) - _LISTED} more" if len(odd) > _LISTED else ""
    return (
        f"stream {wanted.name} would have other values here than in training: {shown}{more}. "
        "Install the versions that the run's environment.json names, describe the stream in a "
        "file for --config, or extract and fit again here"
    )


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values under dotted names."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(part, f"{name}.{key}" if name else key)
    else:
        yield name, value
