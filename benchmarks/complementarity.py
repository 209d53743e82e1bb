"""Where gating helps: every head on planted features whose streams are informative in turns.

Valence and arousal are slow random walks. A stream shows both through a fixed random projection
plus noise while it is informative; elsewhere its rows are noise, of the same size (`hidden`) or
three times as large (`bursts`). Knobs: the share of time in which a stream is informative, the
shift of audio against video in rows, the kind of noise. Heads train in small models under equal
settings; a row of the table is the mean validation CCC over the seeds with its 95 % interval
(Student's t). Data and weights both change with the seed.
Run: `python benchmarks/complementarity.py`, some 20 min on two cores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as vapipe does, before torch loads

import numpy as np
import torch

from vapipe.cache import FeatureStore, Timeline, Valid
from vapipe.cache.layout import create_cache, write_features, write_labels, write_timeline
from vapipe.executor import TaskFailed, run_tasks
from vapipe.fusion import FitConfig, describe_head, fit, list_heads

STREAMS = {"video": ("face", 32), "audio": ("voice", 24), "audio2": ("tone", 24)}
ROWS, TRAIN, VALIDATION = 300, 20, 12
NOISE = 3.0  # deviation of what is added to an informative row; a signal of size 1 or so
T95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 8: 2.36, 10: 2.26}  # 97.5 % of Student's t


@dataclass(frozen=True)
class Setting:
    """What is planted: share of informative time, shift of audio (rows), size of the noise."""

    share: float
    shift: int = 0
    noise: float = 1.0


SETTINGS = {
    "always informative": Setting(1.0),
    "in turns": Setting(0.6),
    "in turns + bursts": Setting(0.6, noise=3.0),
    "in turns + shift": Setting(0.6, shift=12),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "heads",
        nargs="*",
        help="NAME or NAME:VARIANT; default: all heads, as "
        "`vapipe fit --head NAME` trains them, and all variants of sage",
    )
    parser.add_argument("--settings", default=",".join(SETTINGS))
    parser.add_argument("--seeds", type=int, default=5, choices=T95)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    asked = options.heads or [*list_heads(), "sage:scaled", "sage:per_modality"]
    chosen = [
        (head, variant or describe_head(head).variants[0])
        for head, _, variant in (each.partition(":") for each in asked)
    ]
    names = options.settings.split(",")
    entries = [("video alone", "concat", "official", ("video",))]
    entries += [("audio alone", "concat", "official", ("audio",))]
    for head, variant in chosen:
        label = f"{head} {variant}" if len(describe_head(head).variants) > 1 else head
        entries.append((label, head, variant, roles_of(head)))
    table: dict[str, dict[str, list[float]]] = {
        label: {name: [] for name in names} for label, *_ in entries
    }
    with tempfile.TemporaryDirectory() as folder:
        tasks = []
        for name in names:
            for seed in range(options.seeds):
                root = Path(folder) / f"{name}-{seed}"
                plant(root, SETTINGS[name], seed)
                tasks += [(name, root, seed, *entry, options.epochs) for entry in entries]
        found = run_tasks(run, tasks, n_jobs=options.jobs)
        for number, ((name, _, _, label, *_), score) in enumerate(found, 1):
            if isinstance(score, TaskFailed):
                raise SystemExit(f"{label}: {score.reason}\n{score.trace}")
            table[label][name].append(score)
            print(f"\r{number}/{len(tasks)} fits", end="", file=sys.stderr, flush=True)
    print(f"| head | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for label, columns in table.items():
        print(f"| {label} | {' | '.join(cell(columns[name]) for name in names)} |")


def cell(scores: list[float]) -> str:
    """Mean and half the width of its 95 % interval."""
    half = T95[len(scores)] * statistics.stdev(scores) / len(scores) ** 0.5
    return f"{statistics.mean(scores):.3f} ± {half:.3f}"


def roles_of(head: str) -> tuple[str, ...]:
    """Two streams, or three where the head needs them."""
    return tuple(STREAMS)[: max(2, describe_head(head).min_streams)]


def run(task: tuple[str, Path, int, str, str, str, tuple[str, ...], int]) -> float:
    """Fit once; the mean validation CCC."""
    _, root, seed, _, head, variant, roles, epochs = task
    torch.set_num_threads(1)
    config = FitConfig(
        head=head,
        variant=variant,
        head_options={"joint_width": 64} if head in ("jca", "dca") else {},  # 512 in the release
        streams={role: STREAMS[role][0] for role in roles},
        targets="joint",
        window=100,
        stride=100,
        batch=4,
        tcn_channels=dict.fromkeys(STREAMS, (32, 32, 32)),
        tcn_kernels=(5,),
        regressor="mlp",
        hidden=32,
        epochs=epochs,
        patience=epochs,
        warmup_epochs=2,
        learning_rate=2e-3,
        weight_decay=1e-4,
        seed=seed,
        device="cpu",
    )
    with tempfile.TemporaryDirectory() as run_dir:
        store = FeatureStore.open(root)
        return fit(store, config, Path(run_dir) / "run").evaluation.ccc["mean"]


def plant(root: Path, setting: Setting, seed: int) -> None:
    """Write the cache of a setting and seed."""
    rng = np.random.default_rng(seed)
    create_cache(root)
    shows = {role: rng.standard_normal((2, dim)) for role, (_, dim) in STREAMS.items()}
    for index in range(TRAIN + VALIDATION):
        video = f"v{index:02d}"
        source = {"name": video, "bytes": 1, "modified_ns": 0, "sha256": video}
        pts = np.arange(ROWS) / 25
        write_timeline(
            root, video, Timeline.from_pts(pts, nominal_fps=25), subjects=[video], source=source
        )
        labels = np.stack([walk(rng, 50), walk(rng, 50)], axis=1)
        # Streams are informative in turns: where one is not, the other mostly is.
        phase = walk(rng, 80)
        threshold = np.quantile(phase, [1 - setting.share, setting.share])
        informative = {"video": phase >= threshold[0], "audio": phase <= threshold[1]}
        informative["audio2"] = informative["audio"]
        for role, (stream, dim) in STREAMS.items():
            signal = labels @ shows[role]
            size = setting.noise * np.sqrt((shows[role] ** 2).sum(0) * 0.3)
            values = np.where(
                informative[role][:, None],
                signal + NOISE * rng.standard_normal((ROWS, dim)),
                size * rng.standard_normal((ROWS, dim)),
            )
            if role != "video":
                values = np.roll(values, setting.shift, axis=0)
            with write_features(
                root,
                video,
                stream=stream,
                key=f"{stream:0<64}".encode().hex()[:64],
                modality="visual" if role == "video" else "audio",
                rows=ROWS,
                dim=dim,
                source=source,
                config={"encoder": {"name": stream}},
            ) as shard:
                usable = Valid.DETECTED if role == "video" else Valid.AUDIO
                shard.append(features=values, valid=np.full(ROWS, usable, np.uint8))
        part = "train" if index < TRAIN else "validation"
        write_labels(root, video, labels.astype(np.float32), partition=part, source={})


def walk(rng: np.random.Generator, width: int) -> np.ndarray:
    """A slow random signal in (-1, 1), [ROWS]."""
    noise = np.convolve(rng.standard_normal(ROWS + width - 1), np.hanning(width), "valid")
    return np.tanh(noise / noise.std() * 0.7)


if __name__ == "__main__":
    main()
