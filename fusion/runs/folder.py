"""Run folders: everything about one training run, written durably and read back."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ... import __version__
from ...cache.durable import canonical_json, wrap_io_errors, write_bytes, write_json
from ...cache.layout import stacked_layers
from ...cache.store import FeatureStore
from ...device import choose_device, describe_device
from ...errors import RunError
from ...plugins import named_plugins
from ..config import FitConfig
from ..data.plan import Plan, count_layers, fingerprint
from ..heads import describe_head
from ..models.network import Model, count_parameters
from .model_card import LAYERS, make_model_card
from .recorded import RUNS, recorded, require_run


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        config: the resolved configuration.
        streams: role -> {"stream", "key", "dim", "modality", "config"} that it was trained on;
            `config` is what the key is the digest of (runs of earlier versions lack it).
        model: with its best weights, in evaluation mode, on `device`.
        device: where the model is.
    """

    path: Path
    config: FitConfig
    streams: dict[str, dict[str, Any]]
    model: Model
    device: torch.device


def start_run(run_dir: Path | None, plan: Plan, store: FeatureStore, device: torch.device) -> Path:
    """Make the folder of a new run and write what is known before training.

    Args:
        run_dir: a folder that does not exist or is empty; None takes the first free
            `vapipe-runs/<head>-<n>`.

    Raises:
        RunError: the folder holds something.
    """
    path = _free_folder(plan.config.head) if run_dir is None else run_dir
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise RunError(
            f"{path} exists and is not an empty folder; a run never overwrites anything: name "
            "another folder, or leave the option out to take the next free one"
        )
    write_json(path / "config.json", plan.config.to_json())
    streams = {
        role: {
            "stream": name.partition("@")[0],
            "key": store.key(name),
            "dim": plan.dims[role],
            "modality": store.modality(name),
            "config": store.config(name),
        }
        for role, name in plan.config.streams.items()
    }
    videos = {"train": plan.train, "validation": plan.validation}
    write_json(
        path / "cache.json",
        {
            "path": str(store.root.resolve()),
            "streams": streams,
            "videos": videos,
            "labels": _label_sources(store, [*plan.train, *plan.validation]),
            "digest": fingerprint(store, plan),
        },
    )
    environment = _environment(device) | {"head_revision": describe_head(plan.config.head).revision}
    write_json(path / "environment.json", environment)
    return path


def _label_sources(store: FeatureStore, videos: Sequence[str]) -> list[dict[str, Any]]:
    """How the labels were read: each way once (options, clock, weights), and of how many items."""
    found: dict[bytes, dict[str, Any]] = {}
    for video in videos:
        source = store.label_source(video)
        result = source.get("result") or {}
        way = {
            "folder": source.get("folder", ""),
            "reading": source.get("reading", {}),
            "clock": result.get("clock", []),
        }
        found.setdefault(canonical_json(way), {**way, "items": 0})["items"] += 1
    return list(found.values())


def read_unfinished(path: Path) -> FitConfig:
    """Read the configuration of a run that was interrupted.

    Raises:
        RunError: not a run, or a finished one.
    """
    config = read_config(path)
    if (path / "model.safetensors").is_file():
        raise RunError(f"the run {path} is finished; there is nothing to resume")
    return config


def check_unchanged(path: Path, plan: Plan, store: FeatureStore) -> None:
    """Check that the cache is still what an interrupted run began with.

    Raises:
        RunError: it is not, or the run's record cannot be read.
    """
    if recorded(path, "digest") != fingerprint(store, plan):
        begun = Path(recorded(path, "path"))
        if store.root.resolve() != begun:
            raise RunError(
                f"{store.root} is not what the run {path} was begun on, which is {begun}: leave "
                "--cache out to resume on that, or name the folder that it has moved to"
            )
        raise RunError(
            f"{store.root} has changed since the run {path} began (other videos, annotations, "
            "partitions or stream keys); resuming would mix two data sets: fit again into a new "
            "folder"
        )


def read_config(path: Path) -> FitConfig:
    """Read the configuration of a run, finished or not.

    Raises:
        RunError: not a run, or one of another revision of its head.
    """
    require_run(path)
    config = FitConfig.load(path / "config.json")
    check_head(path, config.head)
    return config


def check_head(path: Path, head: str) -> None:
    """Refuse a run that was trained with another revision of its head.

    Raises:
        RunError: they do, or the run does not say which.
    """
    try:
        environment = json.loads((path / "environment.json").read_text())
        trained = environment.get("head_revision", 1)  # runs did not always say so
        by = environment.get("vapipe", "of an earlier version")
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(
            f"cannot read {path / 'environment.json'} ({error}); it says which head the run "
            "was trained with. Restore it, or fit again"
        ) from error
    current = describe_head(head).revision
    if trained != current:
        raise RunError(
            f"the run {path} was trained by vapipe {by} with other equations of head {head} "
            f"(revision {trained}, now {current}), so its weights would mean something else. Fit "
            "again, or use it with the vapipe that wrote it"
        )


def _free_folder(head: str) -> Path:
    """Reserve the first free `vapipe-runs/<head>-<n>`."""
    with wrap_io_errors(RUNS):
        RUNS.mkdir(exist_ok=True)
        number = 1
        while True:
            try:
                (RUNS / f"{head}-{number}").mkdir()
            except FileExistsError:
                number += 1
            else:
                return RUNS / f"{head}-{number}"


def _environment(device: torch.device) -> dict[str, Any]:
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "vapipe": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy", "h5py", "safetensors")},
        "platform": platform.platform(),
        "device": describe_device(device),
        "plugins": dict(named_plugins()),
    }


def write_metrics(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write metrics.jsonl: one line per epoch."""
    text = "".join(json.dumps(record) + "\n" for record in records)
    write_bytes(path / "metrics.jsonl", text.encode())


def write_weights(path: Path, model: Model) -> None:
    """Write the model card README.md, then model.safetensors; a run that has it is finished.

    Before them, what was learned to take of each layer of a stream: network -> role -> layer.
    """
    state = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    if shares := _layer_shares(path, state):
        write_json(path / LAYERS, shares)
    weights = save(state)
    card = make_model_card(
        path, parameters=count_parameters(model), digest=hashlib.sha256(weights).hexdigest()
    )
    write_bytes(path / "README.md", card.encode())
    write_bytes(path / "model.safetensors", weights)


def _layer_shares(
    path: Path, state: Mapping[str, Tensor]
) -> dict[str, dict[str, dict[int, float]]]:
    shares: dict[str, dict[str, dict[int, float]]] = {}
    for role, facts in recorded(path, "streams").items():
        layers, end = stacked_layers(facts.get("config")), f".encoders.{role}.layers.weight"
        for name, weight in state.items():
            if layers and name.endswith(end):
                network = name.removeprefix("networks.").removesuffix(end)
                parts = zip(layers, weight.softmax(0).tolist(), strict=True)
                shares.setdefault(network, {})[role] = dict(parts)
    return shares


def find_streams(
    path: Path, streams: Mapping[str, Mapping[str, Any]], store: FeatureStore, advice: str
) -> dict[str, str]:
    """Role -> `stream@key` of the very streams that the run at `path` was trained on.

    Args:
        streams: role -> what cache.json says of it.

    Raises:
        RunError: the cache holds such a stream only under other keys, or not at all.
    """
    names = {}
    for role, facts in streams.items():
        stored = store.keys(facts["stream"])
        if facts["key"] not in stored:
            found = ", ".join(key[:8] for key in stored) or "none"
            raise RunError(
                f"the run {path} was trained on stream {facts['stream']} with key "
                f"{facts['key'][:8]}; {store.root} holds keys: {found}. {advice}"
            )
        names[role] = f"{facts['stream']}@{facts['key']}"
    return names


def require_configs(run: Run) -> list[dict[str, Any]]:
    """What is recorded of a run's streams, with their configurations; in the order of the roles.

    Raises:
        RunError: an earlier version wrote the run, without configurations.
    """
    lacking = [facts["stream"] for facts in run.streams.values() if "config" not in facts]
    if lacking:
        raise RunError(
            f"the run {run.path} does not say how its streams {', '.join(lacking)} are made: an "
            "earlier version of vapipe wrote it. Predict from a cache that holds them (--cache, "
            "without INPUTS), or fit again"
        )
    return list(run.streams.values())


def load_run(path: str | Path, device: str = "auto") -> Run:
    """Read a finished run.

    Raises:
        RunError: not a run, not finished, or its files do not fit together.
    """
    path, place = Path(path), choose_device(device)
    config = read_config(path)
    if not (path / "model.safetensors").is_file():
        raise RunError(
            f"the run {path} is not finished (no model.safetensors in it): it was interrupted, or "
            f"is still running; `vapipe fit --resume {path}` resumes it"
        )
    try:
        streams = recorded(path, "streams")
        model = Model(
            config=config,
            dims={role: facts["dim"] for role, facts in streams.items()},
            layers=count_layers({role: facts.get("config") for role, facts in streams.items()}),
        )
        model.load_state_dict(load_file(path / "model.safetensors"))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RunError(
            f"the run {path} cannot be read ({reason}); its files were changed or damaged, or "
            "another version of vapipe wrote them (environment.json names it)"
        ) from error
    return Run(path, config, streams, model.to(place).eval(), place)
