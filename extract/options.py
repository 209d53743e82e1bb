"""Which streams to extract: the default ones, names on the command line, or a TOML file.

[crops]                      # options of CropConfig
margin = 0.2

[streams.ir50]               # the name of the stream
encoder = "ir50"             # by default the stream's name
dtype = "float16"
views = ["centre", "flip", "random1"]   # also stored as ir50~flip, ir50~random1
crop = 40                    # everything else is an option of the encoder
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigError, nearest
from .faces.crop_config import CropConfig
from .views import WHOLE, View

DEFAULT_STREAMS = ("onet", "logmel")
DEFAULT_REASON = "the embedded default, which needs no weights to be fetched"
STRONGER_STREAMS = {  # by name, the weights to fetch for them
    "resnet50": "resnet50-imagenet-v2",
    "vggish": "vggish",
    "wavlm": "wavlm-base",
}


@dataclasses.dataclass(frozen=True)
class StreamConfig:
    """What the user asks for.

    Attributes:
        name: of the stream.
        encoder: registered name of the encoder.
        options: its (option, value) pairs.
        dtype: stored precision.
        view: which view of the crops it sees.
    """

    name: str
    encoder: str
    options: tuple[tuple[str, Any], ...] = ()
    dtype: str = "float16"
    view: View = WHOLE


@dataclasses.dataclass(frozen=True)
class Options:
    """What to extract.

    Attributes:
        streams: in the order asked for.
        crops: how faces are found and cropped.
        reason: why these streams, for people.
    """

    streams: tuple[StreamConfig, ...]
    crops: CropConfig
    reason: str


def choose_options(names: str | None, dtype: str | None, file: Path | None) -> Options:
    """Put the user's wishes together.

    Args:
        names: comma-separated streams; those of the file keep their options, others are encoders.
        dtype: stored precision of all streams; None leaves the file's, or float16.
        file: a TOML file.

    Raises:
        ConfigError: the file cannot be read, an unknown option, or names that cannot be.
    """
    described, crops = _read(file) if file else ({}, CropConfig())
    if names is not None:
        chosen, reason = _split(names), "as asked for with --streams"
    elif described:
        chosen, reason = list(described), f"of {file}"
    else:
        chosen, reason = list(DEFAULT_STREAMS), DEFAULT_REASON
    streams = [
        stream for name in chosen for stream in described.get(name, [StreamConfig(name, name)])
    ]
    if dtype is not None:
        streams = [dataclasses.replace(stream, dtype=dtype) for stream in streams]
    return Options(tuple(streams), crops, reason)


def _split(names: str) -> list[str]:
    chosen = [name.strip() for name in names.split(",")]
    if not all(chosen) or len(set(chosen)) < len(chosen):
        raise ConfigError(f"--streams `{names}`: give distinct names separated by commas")
    return chosen


def _read(file: Path) -> tuple[dict[str, list[StreamConfig]], CropConfig]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read {file}: {error}") from error
    _known(content, ("streams", "crops"), f"{file}: table")
    tables = content.get("streams", {})
    if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
        raise ConfigError(f"{file}: streams are tables, e.g. [streams.onet]")
    streams = {name: _streams(file, name, dict(table)) for name, table in tables.items()}
    return streams, _crops(file, content.get("crops", {}))


def _streams(file: Path, name: str, table: dict[str, Any]) -> list[StreamConfig]:
    """A stream and its further views."""
    if "~" in name or "@" in name or "," in name:
        raise ConfigError(f"{file}: stream `{name}`: a name may not hold `~`, `@` or `,`")
    encoder, dtype = table.pop("encoder", name), table.pop("dtype", "float16")
    views = table.pop("views", ["whole"])
    if not (isinstance(views, list) and views and len(set(views)) == len(views)):
        raise ConfigError(f"{file}: stream `{name}`: views is a list of distinct names")
    options = tuple(sorted((option, frozen(value)) for option, value in table.items()))
    plain = StreamConfig(name, encoder, options, dtype, View(views[0]))
    return [
        plain,
        *(dataclasses.replace(plain, name=f"{name}~{v}", view=View(v)) for v in views[1:]),
    ]


def frozen(value: Any) -> Any:
    """Lists as tuples, so that configurations can be compared and hashed."""
    return tuple(frozen(each) for each in value) if isinstance(value, list | tuple) else value


def _crops(file: Path, table: Mapping[str, Any]) -> CropConfig:
    known = [option.name for option in dataclasses.fields(CropConfig)]
    _known(table, known, f"{file}: option of [crops]")
    return CropConfig(**{name: frozen(value) for name, value in table.items()})


def _known(given: Mapping[str, Any], known: tuple[str, ...] | list[str], what: str) -> None:
    for name in given:
        if name not in known:
            raise ConfigError(f"{what} `{name}` is unknown; {nearest(name, known)}")
