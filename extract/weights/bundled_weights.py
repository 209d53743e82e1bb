"""Weight files that ship inside installed packages, and their digests."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

from ...cache.durable import digest_file
from ...errors import ConfigError
from .table import WeightFile


def facenet_weights(name: str) -> WeightFile:
    """A file of weights in the facenet-pytorch package, e.g. `onet.pt`.

    Raises:
        ConfigError: the package or the file is not installed.
    """
    return _bundled("facenet_pytorch", name, "facenet-pytorch==2.5.3", "mtcnn")


def silero_weights() -> WeightFile:
    """Silero VAD for 16 kHz, many windows at once, in the silero-vad package.

    Raises:
        ConfigError: the package or the file is not installed.
    """
    return _bundled(
        "silero_vad", "silero_vad_16k_sequence.onnx", "silero-vad>=6.2.2,<7", "silero-vad"
    )


@functools.cache
def _bundled(package: str, name: str, requirement: str, architecture: str) -> WeightFile:
    """A file in the folder `data` of a package, which is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            f"the weights {name} come with {package.replace('_', '-')}, which is not installed; "
            f"`pip install '{requirement}'`"
        )
    path = Path(spec.submodule_search_locations[0]) / "data" / name
    if not path.is_file():
        raise ConfigError(
            f"{path}: the weights are missing from the installed package; "
            f"`pip install --force-reinstall --no-deps '{requirement}'`"
        )
    return WeightFile(name, architecture, path, digest_file(path), path.stat().st_size)
