"""Settings of small extractions, for tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vapipe.extract.faces.crop_config import CropConfig
from vapipe.extract.options import StreamConfig, choose_options
from vapipe.extract.spec import make_specs
from vapipe.extract.task import Settings

FRAME = CropConfig(source="frame")


def settings_of(
    cache: Path,
    streams: str | Sequence[StreamConfig] | None = None,
    crops: CropConfig = FRAME,
    **options: Any,
) -> Settings:
    """Settings of streams given by name or configured; of whole frames unless `crops` differs."""
    if streams is None or isinstance(streams, str):
        streams = choose_options(streams, None, None).streams
    return Settings(cache, make_specs(streams, crops), **options)


def tree(cache: Path) -> dict[str, bytes]:
    """The bytes of every shard."""
    return {path.relative_to(cache).as_posix(): path.read_bytes() for path in cache.rglob("*.h5")}
