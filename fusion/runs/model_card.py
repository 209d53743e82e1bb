"""The model card of a run: what it is, learned from what, how well, and how to use it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import counted
from ..config import FitConfig
from .listing import describe_split

LAYERS = "layers.json"
_LICENCE = """\
The weights of this run were learned from features of pretrained networks and from annotated videos;
both have terms of their own. `vapipe weights list` shows the licence of each network's weights.
Aff-Wild2 and the data of the ABAW challenges are for research only."""


def make_model_card(path: Path, *, parameters: int, digest: str) -> str:
    """Tell in Markdown what the files of a run's folder say.

    Args:
        path: the folder, with config.json, cache.json, environment.json, metrics.jsonl and
            evaluation-validation.json as far as they are there.
        parameters: trainable values of all networks.
        digest: SHA-256 of model.safetensors.
    """
    config = FitConfig.load(path / "config.json")
    cache, environment = (
        json.loads((path / name).read_text()) for name in ("cache.json", "environment.json")
    )
    blocks = [
        f"# {path.name}",
        f"Predicts {' and '.join(config.learned)} for every video frame: head {config.head} "
        f"({config.variant}), {counted(parameters, 'parameter')}, {_networks(config)}, seed "
        f"{config.seed}. "
        f"Trained by {config.describe_recipe()}, with vapipe {environment['vapipe']} and torch "
        f"{environment['torch']} on {environment['device']}, {environment['started']}.",
        *_start(config),
        f"SHA-256 of model.safetensors: `{digest}`.",
        "## Scores",
        _scores(path),
        "## Trained on",
        _streams(cache["streams"]),
        f"{counted(len(cache['videos']['train']), 'training item')} and "
        f"{counted(len(cache['videos']['validation']), 'validation item')} "
        f"(split {describe_split(config.to_json())}), named in cache.json.",
        *_layers(path),
        *_labels(cache.get("labels", [])),
        "## Use",
        f"```sh\nvapipe predict {path} clip.mp4 --overlay\n"
        f"vapipe evaluate {path}\n"
        f"vapipe fit --config {path / 'config.json'}   # the same again\n```",
        "`predict` makes the very features of the table, or refuses and says what differs.",
        "## Licence",
        _LICENCE,
        "## Files",
        "config.json (every option), cache.json (features, items, digests), environment.json, "
        "metrics.jsonl (one line per epoch), evaluation-*.json, predictions/ (one CSV per video), "
        "gates-*.safetensors (the head's gates, frame by frame), model.safetensors (best weights).",
    ]
    return "\n\n".join(blocks) + "\n"


def _labels(ways: Sequence[Mapping[str, Any]]) -> list[str]:
    """How annotations were read, where that was said otherwise than in the files."""
    said = [
        f"{counted(way['items'], 'item')} with "
        f"{', '.join(f'{n} = {v}' for n, v in way['reading'].items())}"
        for way in ways
        if way["reading"]
    ]
    return [f"Annotations of {'; '.join(said)}."] if said else []


def _layers(path: Path) -> list[str]:
    """What each network learned to take of the layers of a stream."""
    if not (path / LAYERS).is_file():
        return []
    return [
        f"Layers of {role}, network {network}: "
        + ", ".join(f"{layer} {share:.1%}" for layer, share in shares.items())
        for network, roles in json.loads((path / LAYERS).read_text()).items()
        for role, shares in roles.items()
    ]


def _start(config: FitConfig) -> list[str]:
    """Where the weights began and what was not trained, if that was said."""
    said = {
        "Started from the weights of": config.init_from,
        "Not trained:": ", ".join(config.freeze),
    }
    line = " ".join(f"{what} {value}." for what, value in said.items() if value)
    return [line] if line else []


def _networks(config: FitConfig) -> str:
    if config.targets == "joint":
        return "one network for all targets"
    return "one network per target"


def _scores(path: Path) -> str:
    """A table of the concordances, or that there are none."""
    file = path / "evaluation-validation.json"
    if not file.is_file():
        return "Not evaluated."
    evaluation = json.loads(file.read_text())
    lines = ["| CCC on validation | annotated frames | |", "|---|---|---|"]
    for target, value in evaluation["ccc"].items():
        frames = evaluation["frames"].get(target)
        lines.append(f"| {target} | {'' if frames is None else f'{frames:,}'} | {value:.3f} |")
    note = (
        "CCC over all annotated frames, concatenated. The best epoch was chosen on these very "
        "videos, so expect less on others."
    )
    return "\n".join(lines) + f"\n\n{note}"


def _digests(config: Mapping[str, Any]) -> list[str]:
    """SHA-256 of a stream's files of weights; caches of the version before keep them elsewhere."""
    if isinstance(config.get("encoder"), str):
        return [weights["sha256"] for weights in config["weights"].values()]
    weights = config.get("encoder", {}).get("weights") or {}
    return [weights] if isinstance(weights, str) else list(weights.values())


def _streams(streams: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["| role | stream | channels | weights | key |", "|---|---|---|---|---|"]
    for role, facts in streams.items():
        shown = ", ".join(f"`{digest[:16]}`" for digest in _digests(facts["config"])) or "-"
        lines.append(
            f"| {role} | {facts['stream']} | {facts['dim']} | {shown} | `{facts['key']}` |"
        )
    return "\n".join(lines)
