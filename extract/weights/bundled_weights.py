"""Weight files that ship inside installed packages, and their digests."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

from ...cache.durable import digest_file
from ...errors import ConfigError
from .table import WeightFile


@functools.cache
def facenet_weights(name: str) -> WeightFile:
    """A file of weights in the facenet-pytorch package, e.g. `onet.pt`.

    Raises:
        ConfigError: the package or the file is not installed.
    """
    spec = importlib.util.find_spec("facenet_pytorch")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            f"facenet-pytorch, whose weights {name} are needed, is not installed; "
            "`pip install facenet-pytorch==2.5.3`"
        )
    path = Path(spec.submodule_search_locations[0]) / "data" / name
    if not path.is_file():
        raise ConfigError(
            f"{path}: the weights are missing from the installed facenet-pytorch; "
            "`pip install --force-reinstall --no-deps facenet-pytorch==2.5.3`"
        )
    return WeightFile(name, "mtcnn", path, digest_file(path), path.stat().st_size)
