"""A run as a folder in the Hugging Face layout, which is a run again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ...cache.durable import write_bytes, write_json
from ...errors import RunError
from ..models.network import count_parameters
from .folder import Run
from .model_card import LAYERS, make_model_card

_COPIED = ("config.json", "environment.json", "evaluation-validation.json", "metrics.jsonl", LAYERS)


def write_huggingface(run: Run, folder: Path) -> list[str]:
    """Write README.md, config.json, model.safetensors and what `vapipe predict` reads besides.

    Where caches and annotations lie on this machine stays out.

    Args:
        folder: does not exist, or is empty.

    Returns:
        The names of the files.

    Raises:
        RunError: the folder holds something.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise RunError(f"{folder} exists and is not an empty folder; name another with --out")
    names = [name for name in _COPIED if (run.path / name).is_file()]
    for name in names:
        write_bytes(folder / name, (run.path / name).read_bytes())
    cache = json.loads((run.path / "cache.json").read_text())
    ways = [{**way, "folder": ""} for way in cache.get("labels", [])]
    write_json(folder / "cache.json", {**cache, "path": "(not shared)", "labels": ways})
    weights = (run.path / "model.safetensors").read_bytes()
    card = make_model_card(
        folder, parameters=count_parameters(run.model), digest=hashlib.sha256(weights).hexdigest()
    )
    about = {
        "library_name": "vapipe",
        "license": "other",
        "tags": ["valence-arousal", "affective-computing", "audio-visual", run.config.head],
    }
    header = "".join(f"{name}: {json.dumps(value)}\n" for name, value in about.items())
    names += ["cache.json", "README.md", "model.safetensors"]
    text = card.replace(str(folder), folder.name).partition("## Files")[0]
    listed = f"## Files\n\n{', '.join(names)}.\n"
    write_bytes(folder / "README.md", f"---\n{header}---\n\n{text}{listed}".encode())
    write_bytes(folder / "model.safetensors", weights)
    return names
