"""From the cache to what training needs: streams, videos, windows, statistics, tensors."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...cache.durable import canonical_json
from ...cache.layout import stacked_layers
from ...cache.store import FeatureStore
from ...cache.timeline import usable
from ...cache.windows import Window, cut_windows
from ...device import bfloat16_is_fast, choose_device
from ...errors import ConfigError, StreamError, counted, some
from ..config import FitConfig
from ..heads import describe_head
from ..models.network import Model, Statistics
from ..models.stages import describe_initial, freeze, read_initial
from ..runs.recorded import recorded
from .splits import annotated_targets, shared_subjects, split

_MODALITY = {"video": "visual", "audio": "audio", "audio2": "audio"}
SPEECH = "vad"  # the stream that min_speech goes by
_CHUNK = 2**21  # values per step of the statistics


@dataclass(frozen=True)
class Plan:
    """What a fit will work on, known before it starts.

    Attributes:
        config: with streams and all else resolved.
        dims: role -> feature dimension.
        train: annotated training videos, sorted.
        validation: annotated validation videos, sorted.
        windows: training windows that hold at least one annotated frame.
        notes: what the user should know before it starts.
        annotated: in words, how much of each partition is annotated.
        layers: role -> how many layers lie side by side in its stream, where several do.
    """

    config: FitConfig
    dims: dict[str, int]
    train: list[str]
    validation: list[str]
    windows: list[Window]
    notes: list[str]
    annotated: str = ""
    layers: dict[str, int] = field(default_factory=dict)


def plan_fit(store: FeatureStore, config: FitConfig) -> Plan:
    """Resolve a configuration against a cache.

    Raises:
        ConfigError: unknown head, or options that do not fit it; streams that cannot be chosen, or
            are missing for some videos; no annotation, no training or no validation video.
        CacheError: a named stream does not exist or is ambiguous.
    """
    streams = choose_streams(store, config)
    targets = config.target_names or annotated_targets(store)
    config = dataclasses.replace(config, streams=streams, target_names=targets).resolved()
    train, validation = split(store, config)
    notes = []
    shared = shared_subjects(store, train, validation, config.subjects)
    if shared:
        notes.append(
            f"{len(shared)} of {counted(len(validation), 'validation video')} show a subject "
            f"that is also in training ({some(shared)}): their CCC flatters the model"
        )
    annotated = _annotated_shares(store, {"training": train, "validation": validation}, config)
    names = list(streams.values())
    if config.min_speech:
        if SPEECH not in store.streams():
            raise StreamError(
                f"min_speech goes by the stream {SPEECH}, which {store.root} does not hold; "
                f"`vapipe extract --videos DIR --streams {SPEECH}` makes it"
            )
        names.append(SPEECH)
    if config.missing_streams == "skip":
        train, skipped = _with_streams(store, train, names)
        validation, further = _with_streams(store, validation, names)
        if skipped or further:
            notes.append(
                f"skipped {counted(len(skipped), 'training video')} and "
                f"{counted(len(further), 'validation video')} without all streams "
                f"({some([*skipped, *further])})"
            )
        if not train or not validation:
            require_streams(store, [*skipped, *further], names)
    else:
        require_streams(store, [*train, *validation], names)
    if config.precision == "bfloat16" and not bfloat16_is_fast(choose_device(config.device)):
        notes.append(
            "this device has no bfloat16 units, so steps in bfloat16 take many times as long as "
            "with --set precision=float32"
        )
    if config.missing == "exclude" and "video" not in streams:
        raise ConfigError("missing = exclude leaves out frames without a face: no video stream")
    windows = keep_annotated(store, make_windows(store, train, config), config.learned, config)
    if not windows:
        raise ConfigError(
            f"missing = exclude: no frame of the {counted(len(train), 'training video')} has "
            "both a face and an annotation"
        )
    if config.min_speech:
        spoken = keep_spoken(store, windows, config.min_speech)
        notes.append(
            f"min_speech = {config.min_speech:g} leaves {len(spoken):,} of "
            f"{counted(len(windows), 'training window')}"
        )
        if not spoken:
            raise ConfigError(f"{notes[-1]}; lower it")
        windows = spoken
    dims = {role: store.dim(name) for role, name in streams.items()}
    layers = count_layers({role: store.config(name) for role, name in streams.items()})
    with torch.device("meta"):  # refuses what does not fit, without computing anything
        model = Model(config=config, dims=dims, layers=layers)
    for network in model.networks.values():
        freeze(network, config.freeze)
    if config.init_from:
        notes += _initial_notes(store, config, validation, model)
    elif config.freeze:
        notes.append(f"{', '.join(config.freeze)} keeps its random start: init_from names no run")
    return Plan(config, dims, train, validation, windows, notes, annotated, layers)


def _annotated_shares(
    store: FeatureStore, parts: Mapping[str, Sequence[str]], config: FitConfig
) -> str:
    """How much of each partition is annotated."""
    shares = []
    for part, videos in parts.items():
        known = [np.isfinite(store.labels(video, config.learned)).any(axis=1) for video in videos]
        rows, annotated = sum(map(len, known)), sum(int(each.sum()) for each in known)
        if annotated < config.least_annotated * rows:
            shares_of = [each.mean() for each in known]
            worst = [video for _, video in sorted(zip(shares_of, videos, strict=True))]
            raise ConfigError(
                f"only {annotated / rows:.1%} of the {counted(rows, 'frame')} of the "
                f"{counted(len(videos), f'{part} video')} in {store.root} are annotated (least "
                f"of all {', '.join(worst[:3])}): "
                "annotations of another rate than the video look so. `vapipe labels show` tells of "
                "each; where it is right, --set least_annotated=0"
            )
        shares.append(f"{annotated / rows:.1%} of {counted(rows, f'{part} frame')}")
    return ", ".join(shares)


def _initial_notes(
    store: FeatureStore, config: FitConfig, validation: Sequence[str], model: Model
) -> list[str]:
    """What is taken from the run of `init_from`, and what makes that doubtful."""
    run = Path(config.init_from)
    notes = [describe_initial(run, model, read_initial(run, model))]
    keys = {role: facts["key"] for role, facts in recorded(run, "streams").items()}
    seen = sorted({*recorded(run, "videos")["train"]} & {*validation})
    for role, name in config.streams.items():
        if role in keys and keys[role] != store.key(name):
            notes.append(f"{run} was trained on another {role} stream (key {keys[role][:8]})")
    if seen:
        notes.append(
            f"{run} was trained on {len(seen)} of {counted(len(validation), 'validation video')} "
            f"({some(seen)}): their CCC flatters the model"
        )
    return notes


def choose_streams(store: FeatureStore, config: FitConfig) -> dict[str, str]:
    """Role -> stream name: as configured, or the only visual and the only audio stream.

    Raises:
        ConfigError: nothing to choose from, several to choose from, or a stream of the wrong
            modality for its role.
        CacheError: a configured stream does not exist or is ambiguous.
    """
    names = [
        name if len(store.keys(name)) == 1 else f"{name}@{key[:8]}"
        for name in store.streams()
        if "~" not in name
        for key in store.keys(name)
    ]
    if not names:
        raise StreamError(
            f"{store.root} holds no streams; `vapipe extract --videos DIR` makes them"
        )
    if config.streams:
        for role, name in config.streams.items():
            modality = store.modality(name)
            if _MODALITY.get(role, modality) != modality:
                raise StreamError(
                    f"role {role} takes a stream of modality {_MODALITY[role]}, but `{name}` is "
                    f"{modality}; the cache holds: {', '.join(names)}"
                )
        return dict(config.streams)
    fitting = {
        role: [name for name in names if store.modality(name) == modality]
        for role, modality in (("video", "visual"), ("audio", "audio"))
    }
    if config.min_speech:
        fitting["audio"] = [n for n in fitting["audio"] if n.partition("@")[0] != SPEECH]
    chosen = {role: found[0] for role, found in fitting.items() if found}
    needed = describe_head(config.head).min_streams
    if needed > len(chosen) and (rest := fitting["audio"][1:]):
        chosen["audio2"] = rest[0]
    if len(chosen) < needed:
        words = {"video": "visual", "audio": "audio", "audio2": "second audio"}
        lacking = next(word for role, word in words.items() if role not in chosen)
        raise StreamError(
            f"head {config.head} needs {needed} streams; {store.root} holds no {lacking} stream "
            f"(only {', '.join(names)}). Extract one (`vapipe streams` lists them), or take "
            "the head concat"
        )
    for role, found in fitting.items():
        if len(found) > 1:
            raise StreamError(
                f"{len(found)} {_MODALITY[role]} streams are in {store.root}: {', '.join(found)}; "
                f"choose, e.g. {' '.join(f'--set streams.{r}={n}' for r, n in chosen.items())}"
            )
    return chosen


def count_layers(configs: Mapping[str, Mapping[str, Any] | None]) -> dict[str, int]:
    """Role -> how many layers lie side by side in its stream, where several do."""
    counts = {role: len(stacked_layers(config)) for role, config in configs.items()}
    return {role: count for role, count in counts.items() if count}


def views_of(store: FeatureStore, stream: str) -> list[str]:
    """The further views that are stored of a stream, as `name~view@key`; see extract/views.py.

    Raises:
        ConfigError: a view is stored under several keys, so that it is unclear which belongs.
    """
    base = stream.partition("@")[0]
    views = []
    for name in store.streams():
        if name.startswith(f"{base}~"):
            keys = store.keys(name)
            if len(keys) > 1:
                raise StreamError(
                    f"view {name} is stored under {len(keys)} keys ({', '.join(keys)}); remove the "
                    "old one with `vapipe cache gc`, or fit with views switched off"
                )
            if store.dim(name) == store.dim(stream) and store.dtype(name) == store.dtype(stream):
                views.append(name)
    return views


def fingerprint(store: FeatureStore, plan: Plan) -> str:
    """SHA-256 of what a fit reads: stream keys, video files, labels, partitions, first weights."""
    digest = hashlib.sha256()
    keys = {role: store.key(name) for role, name in plan.config.streams.items()}
    if plan.config.min_speech:
        keys["min_speech"] = store.key(SPEECH)
    digest.update(canonical_json([keys, plan.train, plan.validation]))
    if plan.config.init_from:
        digest.update((Path(plan.config.init_from) / "model.safetensors").read_bytes())
    for video in [*plan.train, *plan.validation]:
        digest.update(store.source(video)["sha256"].encode())
        digest.update(np.ascontiguousarray(store.labels(video, plan.config.learned)).tobytes())
    return digest.hexdigest()


def _with_streams(
    store: FeatureStore, videos: Sequence[str], streams: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The videos with every stream, and the others."""
    there = [video for video in videos if all(store.has(video, name) for name in streams)]
    return there, sorted(set(videos) - set(there))


def require_streams(store: FeatureStore, videos: Sequence[str], streams: Sequence[str]) -> None:
    """Check that every video has every stream.

    Raises:
        ConfigError: lists the videos and what they lack.
    """
    lacking = {video: [name for name in streams if not store.has(video, name)] for video in videos}
    lacking = {video: names for video, names in lacking.items() if names}
    if lacking:
        shown = some([f"{video} ({', '.join(names)})" for video, names in lacking.items()], 10)
        bare = ",".join(dict.fromkeys(name.partition("@")[0] for name in streams))
        raise StreamError(
            f"{len(lacking)} of {counted(len(videos), 'video')} without all streams: {shown}; "
            f"`vapipe extract --streams {bare}` makes what is missing, or fit with "
            "--set missing_streams=skip"
        )


def make_windows(store: FeatureStore, videos: Sequence[str], config: FitConfig) -> list[Window]:
    """All windows of the videos, in order."""
    return [
        Window(video, start, stop)
        for video in videos
        for start, stop in cut_windows(store.rows(video), config.window, config.stride)
    ]


def keep_annotated(
    store: FeatureStore, windows: Sequence[Window], targets: Sequence[str], config: FitConfig
) -> list[Window]:
    """The windows with at least one frame that counts in the loss of the targets."""

    def counts(window: Window) -> bool:
        rows = slice(window.start, window.stop)
        known = store.labels(window.video, targets, delay=config.label_delay)
        counted = np.isfinite(known[rows])
        if config.missing == "exclude":
            seen = usable(store.status(window.video, config.streams["video"])[rows])
            counted = counted & seen[:, None]
        return bool(counted.any())

    return [window for window in windows if counts(window)]


def speech(store: FeatureStore, video: str) -> np.ndarray:
    """[T] bool: frames that are speech, by the stream `vad`."""
    return (store.read(video, SPEECH)[:, 0] >= 0.5) & usable(store.status(video, SPEECH))


def keep_spoken(store: FeatureStore, windows: Sequence[Window], least: float) -> list[Window]:
    """The windows of whose frames at least that share is speech."""

    def share(window: Window) -> float:
        return float(speech(store, window.video)[window.start : window.stop].mean())

    return [window for window in windows if share(window) >= least]


def statistics(
    store: FeatureStore, windows: Sequence[Window], streams: Mapping[str, str]
) -> Statistics:
    """Mean and deviation of each stream over the usable rows of the windows, each row once.

    A channel that never varies gets deviation 1.

    Returns:
        role -> (mean [D], std [D]) float32.

    Raises:
        ConfigError: a stream has no usable row in the windows.
    """
    result = {}
    for role, name in streams.items():
        count, mean, spread = 0, np.zeros(store.dim(name)), np.zeros(store.dim(name))
        for video, covered in _covered(store, windows).items():
            rows = np.flatnonzero(covered & usable(store.status(video, name)))
            features = store.read(video, name)
            step = max(1, _CHUNK // len(mean))
            for start in range(0, len(rows), step):
                x = features[rows[start : start + step]].astype(np.float64)
                # Chan et al. (1983): exact merging of means and squared deviations.
                total = count + len(x)
                shift = x.mean(0) - mean
                spread += ((x - x.mean(0)) ** 2).sum(0) + shift**2 * count * len(x) / total
                mean += shift * len(x) / total
                count = total
        if not count:
            raise StreamError(
                f"stream {name} (role {role}) has no usable row in the "
                f"{counted(len(windows), 'training window')}; `vapipe cache status` shows why"
            )
        std = np.sqrt(spread / count)
        std[std < 1e-6] = 1.0
        result[role] = (torch.from_numpy(mean).float(), torch.from_numpy(std).float())
    return result


def _covered(store: FeatureStore, windows: Sequence[Window]) -> dict[str, np.ndarray]:
    """Video -> [T] bool, rows that lie in a window."""
    covered: dict[str, np.ndarray] = {}
    for window in windows:
        rows = covered.setdefault(window.video, np.zeros(store.rows(window.video), bool))
        rows[window.start : window.stop] = True
    return covered
